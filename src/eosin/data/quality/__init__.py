"""Quality control: blurred, blank, saturated, pen-marked, odd-sized and duplicate images."""

from eosin.data.quality.measures import Measures, decode_stored, measure_image, measure_samples
from eosin.data.quality.rules import (
    FLAGS,
    Flag,
    QualityReport,
    Thresholds,
    explain_flag,
    flag_images,
)

__all__ = [
    "FLAGS",
    "Flag",
    "Measures",
    "QualityReport",
    "Thresholds",
    "decode_stored",
    "explain_flag",
    "flag_images",
    "measure_image",
    "measure_samples",
]
