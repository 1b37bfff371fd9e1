"""Export of trained networks to model folders, with a parity check."""
