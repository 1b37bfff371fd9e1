"""Explanations of a prediction: which places of an image speak for a class, and which against."""
