"""Inference: from an image file to a decision, without torch."""
