"""Torch at run time: import of torchvision and Lightning, device and precision, pickled weights."""
