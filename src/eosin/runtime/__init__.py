"""Torch at run time: import of torchvision and timm, device and precision, pickled weights."""
