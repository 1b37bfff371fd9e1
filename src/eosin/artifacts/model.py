"""Schema of ``model.json``: all that ``predict``, ``evaluate`` and ``explain`` need to know."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from eosin.artifacts.metrics import Abstention, Metric, Threshold
from eosin.artifacts.stain import StainReference
from eosin.artifacts.versioned import Document, VersionedDocument

RESEARCH_USE_ONLY = "Research use only. Not a medical device; not for diagnosis."


class Window(Document):
    """How the counts of fluorescence channels become 8-bit values.

    Between ``low`` and ``high`` counts are spread over 0–255; what lies outside is clipped. The
    two are percentiles of the training images' pixels: no other image has a say in them.

    Attributes:
        low: Count that becomes 0, a number a channel.
        high: Count that becomes 255, a number a channel; above ``low``.
        percentiles: Which percentiles they are.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    percentiles: tuple[float, float]


class Planes(Document):
    """Which channels of a fluorescence file the network sees.

    Attributes:
        chosen: Position in the file of each input channel, from 0.
        n_stored: Channels that a file must have.
        bits: Bits a channel that a file must have, 8 or 16.
        window: From counts to 8-bit values; nothing until it is fitted.
    """

    chosen: tuple[int, ...]
    n_stored: int
    bits: Literal[8, 16]
    window: Window | None = None


class Preprocessing(Document):
    """From a decoded image to the network's input.

    A brightfield image is decoded to 8-bit RGB; of a fluorescence image the chosen channels are
    taken and their counts windowed to 8 bits (``planes``). The image is resized, its stain
    normalised, its channels are put in order, each value (0–255) is multiplied by ``scale``, and
    mean and standard deviation are taken per channel.

    Attributes:
        input_px: Height and width of the network's input, in pixels.
        channels: Names of the input channels in order, e.g. ``["R", "G", "B"]``.
        planes: For fluorescence; null for brightfield.
        magnifications: Of a bundle's images, in order; their channels follow each other, and one
            that is missing is black. Empty for single images.
        resize: ``stretch`` ignores the aspect ratio; ``none`` refuses any other size.
        interpolation: Resampling filter.
        stain: What the stain of brightfield images is normalised to, fitted on the training part;
            null without normalisation.
        scale: Factor on the 8-bit values.
        mean: Subtracted after scaling, a number a channel.
        std: Divisor after that, a number a channel.
    """

    input_px: tuple[int, int]
    channels: tuple[str, ...]
    planes: Planes | None = None
    magnifications: tuple[str, ...] = ()
    resize: Literal["stretch", "none"] = "stretch"
    interpolation: Literal["bilinear"] = "bilinear"
    stain: StainReference | None = None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Embedding(Preprocessing):
    """Features that were computed elsewhere, in place of an image: one pixel, a channel a feature.

    Reading, training, export and prediction treat it as they treat any image; its values are
    taken as they are, one ``mean`` and one ``std`` standing for all channels.

    Attributes:
        channels: Names of the table's columns, in order.
        table: Name of the table's file.
        table_sha256: Of the table.
    """

    input_px: tuple[int, int] = (1, 1)
    resize: Literal["stretch", "none"] = "none"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    table: str
    table_sha256: str


class TransferStage(Document):
    """One link of the transfer chain: where the next training's backbone begins.

    Attributes:
        stage: The stage's name, or ``source``.
        source: Where the weights come from, for people.
        data_fingerprint: Fingerprint of a stage's training data; null for a source.
        licence: Of the source's weights or of the stage's data; null where none is stated.
        frozen: What the stage left as it was; null for a source.
        matched: How many of the backbone's tensors were taken over.
        missing: The backbone's tensors that nothing was taken over for.
        unexpected: The source's tensors that the backbone has no place for.
        weights_sha256: Of the weights' file.
    """

    stage: str
    source: str
    data_fingerprint: str | None = None
    licence: str | None = None
    frozen: str | None = None
    matched: int
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    weights_sha256: str


class EnsembleMember(Document):
    """One of the runs that an ensemble averages.

    Attributes:
        run: Name of the run folder.
        architecture: As in its ``model.json``; ``ensemble`` for one of folds.
        arguments: As in its ``model.json``.
        input_px: Height and width of its own input.
        temperature: Divisor of its logits, inside the ensemble's graph.
        threshold: Its own decision threshold.
        params: Its learnable weights.
        weights_sha256: Of its ``model.safetensors``.
        transfer_chain: Where its weights come from.
        metrics: Headline metrics on the images that the ensemble was judged on.
    """

    run: str
    architecture: str
    arguments: dict[str, Any]
    input_px: tuple[int, int]
    temperature: float
    threshold: float | None
    params: int
    weights_sha256: str
    transfer_chain: list[TransferStage] = Field(default_factory=list)
    metrics: dict[str, Metric] = Field(default_factory=dict)


class ModelInfo(VersionedDocument):
    """Schema of ``model.json``.

    Attributes:
        architecture: Registered name of the network, or ``ensemble``.
        arguments: Its arguments. ``members`` is how many of one network an ensemble of folds has;
            for an ensemble of chosen runs, a list of :class:`EnsembleMember`.
        class_names: Labels in the order of the outputs.
        positive: The positive class of a binary task.
        preprocessing: From a decoded image, or a row of features, to the input.
        mpp: µm per pixel at the network's input; null where it is unknown or resizing is
            anisotropic.
        modality: ``brightfield`` or ``fluorescence``.
        threshold: Decision threshold, its source and target recall.
        temperature: Divisor of the logits before the soft-max.
        temperature_source: Where it was fitted; empty in models of before 0.2.
        abstention: When the model abstains; null where it never does.
        test_time: ``none``, or ``dihedral``: the logits are the logarithm of the mean probability
            of an image's eight mirrored and turned views, at temperature 1; four views where the
            input is not square.
        transfer_chain: Where the weights come from; empty for training from scratch.
        data_fingerprint: Fingerprint of the training data.
        data_licence: Licence of the training data.
        simulated: Whether the training data are simulated.
        metrics: Headline metrics with intervals and the split that they were measured on.
        parity: ``max_probability_gap``: largest probability difference on real images between
            ``model.onnx`` and the PyTorch network, or the mean of an ensemble's members;
            ``max_member_gap`` instead where members read images otherwise than the ensemble, or
            average test-time views before they are calibrated.
        params: Learnable weights.
        macs: Multiply-accumulates for one image; null in models of before 0.2.
        weights_sha256: Of ``model.safetensors``.
        files: SHA-256 of every file beside it, by name; null in models of before 0.2.
        licence: Of the model.
        intended_use: Always begins with "Research use only"; says where the data are simulated.
    """

    architecture: str
    arguments: dict[str, Any]
    class_names: tuple[str, ...]
    positive: str | None
    preprocessing: Embedding | Preprocessing
    mpp: float | None
    modality: Literal["brightfield", "fluorescence"] = "brightfield"
    threshold: Threshold
    temperature: float = Field(gt=0)
    temperature_source: str = ""
    abstention: Abstention | None = None
    test_time: Literal["none", "dihedral"] = "none"
    transfer_chain: list[TransferStage] = Field(default_factory=list)
    data_fingerprint: str
    data_licence: str
    simulated: bool
    metrics: dict[str, dict[str, Metric]] = Field(default_factory=dict)
    parity: dict[str, float | int] = Field(default_factory=dict)
    params: int
    macs: int | None = None
    weights_sha256: str
    files: dict[str, str] | None = None
    licence: str
    intended_use: str = RESEARCH_USE_ONLY

    @property
    def members(self) -> list[EnsembleMember]:
        """The runs that an ensemble of chosen runs averages; empty for any other model."""
        found = self.arguments.get("members") if self.architecture == "ensemble" else None
        return [EnsembleMember.model_validate(m) for m in found] if isinstance(found, list) else []
