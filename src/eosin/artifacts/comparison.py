"""Schema of ``comparison.json``: what runs reach on the same images, and what they cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eosin.artifacts.metrics import Metric, MetricBlock
from eosin.artifacts.values import (
    Count,
    DictOf,
    Flag,
    Integer,
    ListOf,
    NotNegative,
    Number,
    Probability,
)
from eosin.artifacts.versioned import Document, VersionedDocument

#: What a run is weighed against its metrics by, as they are called in ``fronts``.
COST_NAMES = ("params", "macs", "onnx_bytes", "latency", "training_seconds")


class Latency(Document):
    """How long one image takes, from decoded pixels at the input's size to probabilities.

    Attributes:
        median: Seconds.
        low: Lower end of the median's 95 % interval, seconds.
        high: Upper end.
        rounds: Seconds of each round; a round times all models, one after the other.
        images: Whether ``real`` images were judged, or ``random`` pixels.
    """

    median: NotNegative
    low: Number
    high: Number
    rounds: ListOf[Number]
    images: Literal["real", "random"]


class Cost(Document):
    """What a model folder takes; null where it is not known.

    Attributes:
        params: Learnable weights.
        macs: Multiply-accumulates for one image.
        onnx_bytes: Size of ``model.onnx``.
        safetensors_bytes: Size of ``model.safetensors``.
        latency: On this machine's processor.
    """

    params: Count | None = None
    macs: Count | None = None
    onnx_bytes: Count | None = None
    safetensors_bytes: Count | None = None
    latency: Latency | None = None


class ComparedRun(Document):
    """One run.

    Attributes:
        name: Of its folder, with as many parents as tell it from the others.
        model: The network's name.
        preprocessing: Stain normalisation and augmentation, in words.
        protocol: How its images were divided; ``external`` for an outside manifest.
        split: The judged split.
        seed: Of its training; null where the folder does not tell.
        n_judged: Images that it was judged on.
        n_seen_groups: Groups among those that its training saw as well; null where it cannot tell.
        n_leaks: Leaks that its audit found.
        simulated: Whether the images are simulated.
        image: Metrics of the most probable class, on the images in common.
        at_threshold: Those of the decision at its locked threshold; empty without one.
        networks: How many networks were judged: one, or one a fold.
        judged: What one of those takes.
        deployed: What its model folder takes, which joins the folds' networks.
        training_seconds: Wall time of its training and of those before it.
        device: What trained it.
        is_head: Whether it is a head on features, whose costs leave out what makes these.
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

    @property
    def is_flattered(self) -> bool:
        """Whether it was judged on what its training saw."""
        return bool(self.n_seen_groups) or self.n_leaks > 0

    @property
    def is_weighed(self) -> bool:
        """Whether what it reaches may be held against its costs."""
        return not (self.is_flattered or self.is_head)


class PairedMetric(Document):
    """How much more of one metric the first run of a pair has.

    Attributes:
        difference: With its 95 % interval from resamples of whole groups.
        p: Of the test that exchanges whole groups; null where it is undefined.
        p_holm: The same, corrected for the number of pairs.
    """

    difference: Metric
    p: Probability | None
    p_holm: Probability | None = None


class IndependentTest(Document):
    """A test that takes every image as independent of every other.

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
    """Two runs.

    Attributes:
        one: Name of the first.
        other: Name of the second.
        metrics: By name.
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
        mean: Over all replicates.
        tukey: Letters of its homogeneous subsets; two rows without a common letter differ.
        duncan: The same of Duncan's test.
    """

    name: str
    mean: Number
    tukey: str
    duncan: str


class RangeTest(Document):
    """Tukey's and Duncan's multiple-range tests on replicate values.

    Attributes:
        factor: ``run``, ``model`` or ``preprocessing``.
        metric: What the values are of.
        blocks: What the replicates are called: the folds, or seeds, in common.
        n_each: Values behind each mean.
        mean_square: Error variance of the two-way layout.
        freedom: Its degrees of freedom.
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


class Criterion(Document):
    """One demand on a light model (P3), and whether it is met.

    Attributes:
        name: ``recall``, ``f1``, ``bytes``, ``seconds``, ``smaller`` or ``faster``.
        of: ``argmax``, ``threshold``, ``judged`` (one network) or ``deployed``.
        value: What the light model has; null where it is not known.
        low: Lower end of its interval.
        high: Upper end.
        limit: What is asked.
        is_met: Null where the interval holds the limit, or where there is none.
    """

    name: Literal["recall", "f1", "bytes", "seconds", "smaller", "faster"]
    of: Literal["argmax", "threshold", "judged", "deployed"]
    value: Number | None
    low: Number | None = None
    high: Number | None = None
    limit: Number
    is_met: Flag | None


class LightAgainstLarge(Document):
    """P3's question, asked of the smallest and the largest run.

    Attributes:
        light: The smallest run.
        large: The largest.
        criteria: What is asked.
    """

    light: str
    large: str
    criteria: ListOf[Criterion]


class Comparison(VersionedDocument):
    """Schema of ``comparison.json``.

    Attributes:
        eosin: Version of Eosin.
        created: UTC time, ISO 8601.
        platform: What the latencies were measured on.
        threads: Threads that they were measured with.
        metric: The metric that runs are ranked by.
        asked: The metric that was asked for, where it is undefined for a run; else empty.
        metrics: All that are compared.
        positive: The positive class of a binary task.
        n_images: Images in common.
        n_patients: Their patients; null where one image or more has none.
        n_groups: Their groups, the units of bootstrap and exchange.
        n_repeated: Runs with predictions of an image from several repeats, which were averaged.
        matched_by_content: Images that lie at other paths in another run.
        resamples: Of the bootstrap.
        flips: Of the exchange test.
        seed: Of both.
        runs: In the order given.
        pairs: Each two runs, the better first.
        ranges: Empty without replicates in common.
        light_large: Null where all runs are of one size, or the size is not known.
        fronts: By cost, the runs that no other beats in both; those that are flattered, and heads
            on features, left out.
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
    light_large: LightAgainstLarge | None = None
    fronts: DictOf[ListOf[str]] = Field(default_factory=dict)

    def run(self, name: str) -> ComparedRun:
        """Return the run of a name."""
        return next(run for run in self.runs if run.name == name)
