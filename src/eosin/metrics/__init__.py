"""Classification, calibration, intervals: arrays in, numbers out.

:func:`~eosin.metrics.summary.summarise` is what a run calls: every metric of the catalogue for a
set of predictions, each with a 95 % interval or the reason why there is none. NumPy and SciPy only.
A prediction needs the catalogue, not SciPy: names are imported from their modules.
"""
