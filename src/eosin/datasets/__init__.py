"""From a folder of patches to samples with labels, groups and splits."""
