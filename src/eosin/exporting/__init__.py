"""From a trained network to a model folder, with a parity check."""
