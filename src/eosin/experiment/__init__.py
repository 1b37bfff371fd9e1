"""One experiment: prepare, split, run, cross-validate, transfer, resume, plan."""
