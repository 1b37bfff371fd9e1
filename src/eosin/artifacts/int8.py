"""Schema of ``int8`` in ``model.json``: the 8-bit network, its calibration, and what it loses."""

from __future__ import annotations

from pydantic import Field

from eosin.artifacts.metrics import Abstention, Metric, Threshold
from eosin.artifacts.versioned import (
    AtLeastOne,
    Count,
    Document,
    Integer,
    ListOf,
    Name,
    NotNegative,
    Probability,
    Temperature,
    Text,
    TupleOf,
)


class Both(Document):
    """A metric of the float32 network and of the 8-bit one, on the same images.

    Attributes:
        difference: 8-bit minus float32, with its 95 % interval from resamples of whole groups.
    """

    float32: Metric
    int8: Metric
    difference: Metric


class CalibrationImages(Document):
    """Training images from which the ranges of the activations were taken.

    Attributes:
        n_patients: Their patients; null where one is unknown.
        seed: Of their draw.
    """

    n_images: AtLeastOne
    n_patients: Count | None
    seed: Integer


class Int8(Document):
    """The 8-bit network ``model.int8.onnx``, compared with ``model.onnx``.

    Temperature, threshold and abstention replace those of the float32 network where 8 bits predict.

    Attributes:
        calibration: Images that the activations were calibrated on.
        n_images: Validation images that it was evaluated on.
        n_patients: Their patients; null where one is unknown.
        n_groups: Their groups, the units of resampling.
        auc: Area under the ROC curve, of more than two classes the macro average.
        ece: Expected calibration error.
        ece_at_float32_temperature: Of the 8-bit network, had its temperature not been fitted.
        max_probability_gap: Largest difference of a calibrated probability.
        mean_probability_gap: Mean absolute difference.
        n_other_decisions: Images with another decision.
        n_bytes: Size of the 8-bit file.
        n_bytes_float32: Size of the float32 file.
        temperature: Divisor of its logits.
        temperature_source: Where it was fitted.
        probabilities: Of the images of ``selftest``.
        decisions: At its threshold.
    """

    calibration: CalibrationImages
    n_images: AtLeastOne
    n_patients: Count | None
    n_groups: AtLeastOne
    auc: Both
    ece: Both
    ece_at_float32_temperature: Metric
    max_probability_gap: Probability
    mean_probability_gap: NotNegative
    n_other_decisions: Count
    n_bytes: AtLeastOne
    n_bytes_float32: AtLeastOne
    temperature: Temperature
    temperature_source: Text
    threshold: Threshold
    abstention: Abstention | None = None
    probabilities: ListOf[TupleOf[Probability]] = Field(default_factory=list)
    decisions: TupleOf[Name] = ()
