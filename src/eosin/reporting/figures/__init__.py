"""Figures of a report: matplotlib without a window and without global state, one file a family."""
