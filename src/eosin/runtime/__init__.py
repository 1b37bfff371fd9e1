"""Torch's door: everything that imports torchvision or Lightning goes through here."""
