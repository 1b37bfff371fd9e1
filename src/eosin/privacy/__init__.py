"""Pseudonymisation of patients, groups and paths in a copy of a run folder."""
