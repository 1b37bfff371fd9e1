"""Data: sources, splits, the leak audit, quality, the phantom and downloads."""
