"""Ensembles: one model from several, the mean of their calibrated probabilities."""
