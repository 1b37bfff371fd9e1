"""Finished runs, read back and matched on the images that all of them held out."""
