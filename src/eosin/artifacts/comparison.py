"""Schema of ``comparison.json``: metrics of runs on the same images, and their costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, model_validator

from eosin.artifacts.metrics import Confusion, Metric, MetricBlock, RocPoints
from eosin.artifacts.versioned import (
    AtLeastOne,
    Count,
    DictOf,
    Document,
    Flag,
    Integer,
    ListOf,
    NotNegative,
    Number,
    Probability,
    VersionedDocument,
)

#: The costs that metrics are compared with, the keys of ``fronts``.
COST_NAMES = ("params", "macs", "onnx_bytes", "latency", "training_seconds")


class Latency(Document):
    """Time for one image, from decoded pixels at the input's size to probabilities.

    Attributes:
        median: Seconds.
        low: Lower end of the median's 95 % interval, seconds.
        rounds: Seconds of each round; a round times all models, one after the other.
        images: ``real`` images, or ``random`` pixels.
    """

    median: NotNegative
    low: Number
    high: Number
    rounds: ListOf[Number]
    images: Literal["real", "random"]


class Cost(Document):
    """Costs of a model folder; null where not known.

    Attributes:
        trainable: Weights that its training changed; all others were frozen.
        macs: Multiply-accumulates for one image.
        latency: On this machine's processor.
    """

    params: Count | None = None
    trainable: Count | None = None
    macs: Count | None = None
    onnx_bytes: Count | None = None
    safetensors_bytes: Count | None = None
    latency: Latency | None = None


class LearningCurve(Document):
    """Learning curve of one training: a run's, or a fold's.

    Attributes:
        evaluations_per_epoch: Evenly spread, the last at the epoch's end.
        kept: Index of the evaluation whose state was kept.
        values: By column of ``history.csv``, a value an evaluation; null where undefined.
    """

    evaluations_per_epoch: AtLeastOne
    kept: Count
    values: DictOf[ListOf[Number | None]]

    @model_validator(mode="after")
    def _check_lengths(self) -> Self:
        lengths = {len(column) for column in self.values.values()}
        if lengths != {len(self)} or self.kept >= len(self):
            raise ValueError(
                "values should be columns of equal length, with kept as one of their rows"
            )
        return self

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))

    @property
    def epochs(self) -> list[float]:
        """Epochs that were done at each evaluation, whatever the batch size."""
        return [(row + 1) / self.evaluations_per_epoch for row in range(len(self))]

    def value(self, column: str, *, at_kept: bool = True) -> float | None:
        """Return a column's value at the kept state, or at the end; ``None`` if not known."""
        values = self.values.get(column)
        return values[self.kept if at_kept else -1] if values else None


class ComparedRun(Document):
    """A run in the comparison.

    Attributes:
        name: Name of its folder, with as many parents as make it unique.
        preprocessing: Stain normalisation and augmentation, in words.
        protocol: Protocol of the split; ``external`` for an external manifest.
        seed: Of its training; null where not recorded.
        n_seen_groups: Evaluated groups that its training saw as well; null where not known.
        image: Metrics of the most probable class, on the images in common.
        at_threshold: Metrics of the decision at its tuned threshold; empty without one.
        networks: Number of evaluated networks: one, or one a fold.
        judged: Cost of one of those.
        deployed: Cost of its model folder, which joins the folds' networks.
        training_seconds: Wall time of its training and of earlier stages.
        is_head: True for a head on features, whose costs exclude the feature extractor.
        learning: A curve per network; empty where no history is known.
        confusion: Of the most probable class, on the images in common.
        roc: On the images in common; null without a positive class.
    """

    name: str
    model: str
    preprocessing: str
    protocol: str
    split: str
    seed: Integer | None
    n_judged: Count
    n_seen_groups: Count | None
    n_leaks: Count
    simulated: Flag
    image: MetricBlock
    at_threshold: MetricBlock
    networks: Count
    judged: Cost
    deployed: Cost
    training_seconds: NotNegative | None
    device: str | None
    is_head: Flag = False
    learning: ListOf[LearningCurve] = Field(default_factory=list)
    confusion: Confusion | None = None
    roc: RocPoints | None = None

    @property
    def is_flattered(self) -> bool:
        """True if it was evaluated on what its training saw."""
        return bool(self.n_seen_groups) or self.n_leaks > 0

    @property
    def is_weighed(self) -> bool:
        """True if its metrics may be compared with its costs."""
        return not (self.is_flattered or self.is_head)


class PairedMetric(Document):
    """Difference of one metric between the runs of a pair.

    Attributes:
        difference: First minus second, with its 95 % interval from resamples of whole groups.
        p: Of the test that exchanges whole groups; null where it is undefined.
        p_holm: The same, corrected for the number of pairs.
    """

    difference: Metric
    p: Probability | None
    p_holm: Probability | None = None


class IndependentTest(Document):
    """A test that takes images as independent of each other.

    Attributes:
        p: Two-sided p-value; mid-p for McNemar's test.
        p_holm: Corrected for the number of pairs.
        exact: McNemar's exact p-value.
        only_one: Images that only the first run gets right.
        only_other: Images that only the second gets right.
        difference: DeLong's difference of the areas, with its interval.
    """

    p: Probability
    p_holm: Probability | None = None
    exact: Probability | None = None
    only_one: Count | None = None
    only_other: Count | None = None
    difference: Metric | None = None


class ComparedPair(Document):
    """A pair of runs.

    Attributes:
        mcnemar: On the most probable class.
        delong: On the probability of the positive class; null where there is none.
    """

    one: str
    other: str
    metrics: DictOf[PairedMetric]
    mcnemar: IndependentTest
    delong: IndependentTest | None


class RangeRow(Document):
    """One mean of a multiple-range test.

    Attributes:
        name: The run, or the level of a factor.
        mean: Over all folds or seeds.
        tukey: Letters of its homogeneous subsets; two rows without a common letter differ.
        duncan: The same of Duncan's test.
    """

    name: str
    mean: Number
    tukey: str
    duncan: str


class RangeTest(Document):
    """Tukey's and Duncan's multiple-range tests on the values of folds or seeds.

    Attributes:
        factor: ``run``, ``model`` or ``preprocessing``.
        blocks: Names of the folds, or seeds, in common.
        n_each: Values behind each mean.
        mean_square: Error variance of the two-way layout.
        tukey: Critical range of Tukey's test.
        duncan: Critical ranges of Duncan's, of 2, 3 … neighbouring means.
        rows: From the highest mean down.
    """

    factor: Literal["run", "model", "preprocessing"]
    metric: str
    blocks: ListOf[str]
    n_each: Count
    mean_square: NotNegative
    freedom: Count
    tukey: NotNegative
    duncan: ListOf[Number]
    rows: ListOf[RangeRow]


class Disagreement(Document):
    """An image whose most probable class is the true one in some runs, and another in others.

    Attributes:
        predicted: Most probable class of each run, in their order.
        patient: Empty if unknown.
        file: Its thumbnail in ``samples/``; empty without one.
    """

    path: str
    label: str
    predicted: ListOf[str]
    patient: str = ""
    file: str = ""


class Comparison(VersionedDocument):
    """Schema of ``comparison.json``.

    Attributes:
        created: UTC time, ISO 8601.
        platform: Machine of the latency measurements.
        threads: Threads of the latency measurements.
        metric: The metric that runs are ranked by.
        asked: The requested metric, where it is undefined for a run; else empty.
        n_images: Images in common.
        n_patients: Their patients; null where the patient of an image is not known.
        n_groups: Their groups, the units of bootstrap and exchange.
        n_repeated: Runs with predictions of an image from several repeats, which were averaged.
        matched_by_content: Images that have another path in another run.
        runs: In the order given.
        pairs: All pairs of runs, the better first.
        ranges: Empty without folds or seeds in common.
        optimism: How much too high the best run's ``metric`` is estimated to be, because it was
            chosen by it; of the runs without train-test overlap; null in files of before 0.2.
        n_disagreements: Images that some runs classify correctly and others do not.
        disagreements: Some of them, those with the largest difference in the probability of the
            true class first.
        fronts: By cost, the Pareto front of runs; without optimistic ones and heads on features.
    """

    eosin: str
    created: str
    platform: str
    threads: Count
    metric: str
    asked: str = ""
    metrics: ListOf[str]
    positive: str | None
    n_images: Count
    n_patients: Count | None
    n_groups: Count
    n_repeated: Count = 0
    matched_by_content: Count = 0
    resamples: Count
    flips: Count
    seed: Integer
    runs: ListOf[ComparedRun]
    pairs: ListOf[ComparedPair]
    ranges: ListOf[RangeTest] = Field(default_factory=list)
    optimism: Number | None = None
    n_disagreements: Count = 0
    disagreements: ListOf[Disagreement] = Field(default_factory=list)
    fronts: DictOf[ListOf[str]] = Field(default_factory=dict)

    def run(self, name: str) -> ComparedRun:
        """Return the run of a name."""
        return next(run for run in self.runs if run.name == name)


def cost_of(run: ComparedRun, name: str) -> float | None:
    """Return one of the :data:`COST_NAMES` of a run's model folder; ``None`` where unknown."""
    if name == "training_seconds":
        return run.training_seconds
    if name == "latency":
        latency = run.deployed.latency
        return None if latency is None else latency.median
    value: int | None = getattr(run.deployed, name)
    return value


def find_fronts(runs: Sequence[ComparedRun], metric: str) -> dict[str, list[str]]:
    """Return, for each cost, the Pareto front: runs that none equals in both and beats in one.

    More of ``metric`` is better. Runs evaluated on images of their training, and heads on features,
    never count.
    """
    fronts = {}
    for cost in COST_NAMES:
        points = [
            (run.name, spent, value)
            for run in runs
            if (spent := cost_of(run, cost)) is not None
            and (value := run.image[metric].value) is not None
            and run.is_weighed
        ]
        fronts[cost] = [
            name
            for name, spent, value in points
            if not any(
                less <= spent and more >= value and (less, more) != (spent, value)
                for _, less, more in points
            )
        ]
    return {cost: names for cost, names in fronts.items() if names}
