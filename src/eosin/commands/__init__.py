"""Commands: one module a verb, named as the verb; the only layer that the command line calls."""
