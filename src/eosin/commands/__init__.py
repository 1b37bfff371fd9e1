"""Commands, one module per command; the only layer that the command line calls."""
