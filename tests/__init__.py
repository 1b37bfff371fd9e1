"""A package of that name comes with torchstain: this one stands before it."""
