"""Schema of ``model.json``, the description of a model for prediction."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from eosin.artifacts.crops import check_crop_px
from eosin.artifacts.explanation_checks import ExplanationChecks
from eosin.artifacts.gate import Gate
from eosin.artifacts.int8 import Int8
from eosin.artifacts.metrics import Abstention, MetricBlock, Threshold
from eosin.artifacts.provenance import Teacher, TransferStage
from eosin.artifacts.selftest import SelfTest
from eosin.artifacts.stain import StainReference
from eosin.artifacts.versioned import (
    AtLeastOne,
    Count,
    DictOf,
    Document,
    Flag,
    ListOf,
    Name,
    NotNegative,
    Number,
    Plain,
    Positive,
    Probability,
    Side,
    Temperature,
    Text,
    TupleOf,
    VersionedDocument,
)
from eosin.core.text import shorten
from eosin.core.types import ResizeRule

_RGB = ["B", "G", "R"]
#: Larger values would overflow single precision.
_LARGEST_INPUT = 1e30
#: Least difference of a black and a white input, relative to their offset or divisor: below it,
#: single precision distinguishes few of the 256 values.
_LEAST_CONTRAST = 1e-3
#: µm per pixel of an input; at the largest a whole slide is a few pixels wide.
_Spacing = Annotated[float, Field(strict=True, gt=0, le=1e4)]
_Percent = Annotated[float, Field(strict=True, ge=0, le=100)]

RESEARCH_USE_ONLY = "Research use only. Not a medical device; not for diagnosis."


def _check_use(text: str) -> str:
    if not text.startswith(RESEARCH_USE_ONLY):
        raise ValueError(f"it should begin with {RESEARCH_USE_ONLY!r}")
    return text


_IntendedUse = Annotated[Text, Field(max_length=2000), AfterValidator(_check_use)]


class Window(Document):
    """Scaling of fluorescence counts to 8-bit values.

    Counts from ``low`` to ``high`` are spread over 0–255; others are clipped.

    Attributes:
        low: Count that becomes 0, a number a channel.
        high: Count that becomes 255, a number a channel; not below ``low``.
        percentiles: Of the pixels of training images alone, which ``low`` and ``high`` are; null
            where they are the range of the files' type.
    """

    low: TupleOf[Number]
    high: TupleOf[Number]
    percentiles: tuple[_Percent, _Percent] | None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if len(self.low) != len(self.high):
            raise ValueError("low and high should have one number per channel")
        if any(high < low for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"high should not be below low, got {self.high} and {self.low}")
        if self.percentiles and not self.percentiles[0] < self.percentiles[1]:
            raise ValueError(f"percentiles should ascend, got {self.percentiles}")
        return self


class Planes(Document):
    """Channel selection of a fluorescence file.

    Attributes:
        chosen: Position in the file of each input channel, from 0.
        n_stored: Required number of channels of a file.
        bits: Required bits a channel of a file, 8 or 16.
        window: From counts to 8-bit values; null until it is fitted.
    """

    chosen: TupleOf[Count]
    n_stored: AtLeastOne
    bits: Literal[8, 16]
    window: Window | None = None

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        if (
            len(set(self.chosen)) != len(self.chosen)
            or max(self.chosen, default=0) >= self.n_stored
        ):
            raise ValueError(
                f"chosen should name different channels below {self.n_stored}, got {self.chosen}"
            )
        if self.window is not None and len(self.window.low) != len(self.chosen):
            raise ValueError(f"window should have a number for each of {len(self.chosen)} channels")
        return self


class Preprocessing(Document):
    """Preprocessing from a decoded image to the network's input.

    A brightfield image is decoded to 8-bit RGB; of a fluorescence image the chosen channels are
    taken and their counts windowed to 8 bits (``planes``). The image is resized, its stain
    normalised, its channels are put in order, each value (0–255) is multiplied by ``scale``, and
    the channels are standardised by ``mean`` and ``std``.

    Attributes:
        input_px: Height and width of the model's input, in pixels.
        crop_px: Height and width of the squares that the network sees of it: the model's output is
            the logarithm of their mean probability. Null where the network takes the input whole,
            and before 0.2.
        channels: Names of the input channels in order, e.g. ``["R", "G", "B"]``.
        planes: For fluorescence; null for brightfield.
        magnifications: Of a magnification stack, in order; the channels of its images are
            concatenated, a missing image is black. Empty for single images.
        resize: ``stretch`` ignores the aspect ratio; ``centre_crop`` crops the edges to the
            input's aspect ratio first; ``none`` accepts no other size.
        stain: Stain reference for brightfield images, fitted on the training subset; null without
            normalisation.
        training_stain: Stain reference that only the training images were normalised to; null if
            they were read as any other image.
        scale: Factor on the 8-bit values.
        mean: Subtracted after scaling, a number a channel.
        std: Divisor after that, a number a channel.
    """

    input_px: tuple[Side, Side]
    crop_px: Side | None = None
    channels: Annotated[TupleOf[Name], Field(min_length=1)]
    planes: Planes | None = None
    magnifications: TupleOf[Name] = ()
    resize: ResizeRule = "stretch"
    interpolation: Literal["bilinear"] = "bilinear"
    stain: StainReference | None = None
    training_stain: StainReference | None = None
    scale: Number
    mean: TupleOf[Number]
    std: TupleOf[Positive]

    @property
    def network_px(self) -> int:
        """Height and width of what the network sees: of a crop, else of the whole input."""
        return self.crop_px or self.input_px[0]

    @model_validator(mode="after")
    def _check_crops(self) -> Self:
        check_crop_px(self.input_px, self.crop_px)
        return self

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        if self.stain and self.training_stain:
            raise ValueError("training_stain should be null where stain is not")
        if self.planes is None:
            self._check_colours()
        elif self.stain or self.training_stain or self.magnifications:
            raise ValueError("fluorescence has neither stain nor magnifications")
        elif len(self.planes.chosen) != len(self.channels):
            raise ValueError(f"planes.chosen should have an entry for each of {self.channels}")
        elif len(set(self.channels)) != len(self.channels):
            raise ValueError(f"channels should have different names, got {self.channels}")
        return self

    def _check_colours(self) -> None:
        """Check that the channels are red, green and blue, for each image of a stack."""
        n_images = len(self.magnifications) or 1
        colours = [sorted(self.channels[place : place + 3]) for place in range(0, 3 * n_images, 3)]
        if len(self.channels) != 3 * n_images or colours != [_RGB] * n_images:
            each = " for each of its magnifications" if self.magnifications else ""
            raise ValueError(f"channels of brightfield should be R, G and B{each}")

    @model_validator(mode="after")
    def _check_normalisation(self) -> Self:
        # For features one number applies to all.
        allowed = {len(self.channels), 1} if isinstance(self, Embedding) else {len(self.channels)}
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in allowed:
                raise ValueError(
                    f"{name} should have a number for each of {len(self.channels)} channels, "
                    f"got {len(values)}"
                )
        contrast, offset = 255 * abs(self.scale), max(map(abs, self.mean))
        is_lost = contrast < _LEAST_CONTRAST * max(offset, *self.std)
        if is_lost or (contrast + offset) / min(self.std) > _LARGEST_INPUT:
            raise ValueError("scale, mean and std should give finite inputs that differ")
        return self


class Embedding(Preprocessing):
    """Precomputed features in place of an image: one pixel, a channel a feature.

    Reading, training, export and prediction treat it like an image; its values are not scaled, and
    one ``mean`` and one ``std`` apply to all channels.

    Attributes:
        channels: Names of the table's columns, in order.
    """

    input_px: tuple[Side, Side] = (1, 1)
    resize: ResizeRule = "none"
    scale: Number = 1.0
    mean: TupleOf[Number] = (0.0,)
    std: TupleOf[Positive] = (1.0,)
    table: Text
    table_sha256: Text

    @model_validator(mode="after")
    def _check_channels(self) -> Self:
        of_images = (self.planes, self.stain, self.training_stain, self.magnifications)
        if self.input_px != (1, 1) or self.crop_px or any(of_images):
            raise ValueError("features should have input_px 1 × 1 and no settings of images")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("channels should have different names")
        return self


def _kind_of(value: Any) -> str:
    is_table = "table" in value if isinstance(value, dict) else isinstance(value, Embedding)
    return "features" if is_table else "images"


class EnsembleMember(Document):
    """A run of an ensemble.

    Attributes:
        architecture: As in its ``model.json``; ``ensemble`` for one of folds.
        arguments: As in its ``model.json``.
        input_px: Height and width of its own input.
        crop_px: As in its ``model.json``.
        temperature: Divisor of its logits, inside the ensemble's graph.
        weights_sha256: Of its ``model.safetensors``.
        frozen: As in its ``model.json``, like ``unfrozen``.
        metrics: Headline metrics on the images that the ensemble was evaluated on.
    """

    run: Text
    architecture: Name
    arguments: DictOf[Plain]
    input_px: tuple[Side, Side]
    crop_px: Side | None = None
    temperature: Temperature
    threshold: Probability | None
    params: Count
    weights_sha256: Text
    transfer_chain: ListOf[TransferStage] = Field(default_factory=list)
    frozen: Text | None = None
    unfrozen: TupleOf[Text] = ()
    metrics: MetricBlock = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        check_crop_px(self.input_px, self.crop_px)
        if self.architecture == "ensemble":
            _check_folds(self.arguments)
        return self


class ModelInfo(VersionedDocument):
    """Schema of ``model.json``.

    Attributes:
        architecture: Registered name of the network, or ``ensemble``.
        arguments: Its arguments. For an ensemble of folds, ``members`` is the number of its
            networks; for one of chosen runs, a list of :class:`EnsembleMember`.
        class_names: Labels in the order of the outputs.
        preprocessing: From a decoded image, or a row of features, to the input.
        mpp: µm per pixel at the network's input, measured, or stated by the recipe; null if
            unknown or resized anisotropically.
        modality: ``brightfield`` or ``fluorescence``.
        threshold: Decision threshold, its source and target recall.
        temperature: Divisor of the logits before the soft-max.
        temperature_source: Where it was fitted; empty in models of before 0.2.
        abstention: Rule of abstention; null where the model never abstains.
        gate: The gate before prediction; null without one, and in models of before 0.2.
        test_time: ``none``, or ``dihedral``: the logits are the logarithm of the mean probability
            of an image's eight flipped and rotated views (four if not square), at temperature 1.
        transfer_chain: Provenance of the initial weights; empty for training from scratch.
        teachers: Runs that taught it; empty for most, and in models of before 0.2.
        frozen: The layers that its training kept fixed; null before 0.2 and of chosen runs.
        unfrozen: Weights before ``frozen``'s cut that stayed trainable, as no training had them.
        metrics: Headline metrics with intervals and the subset that they were measured on.
        parity: ``max_probability_gap``: largest probability difference on real images between
            ``model.onnx`` and the PyTorch network, or the mean of an ensemble's members;
            ``max_member_gap`` where members read images otherwise, or average test-time views.
        trainable: Number of weights that were not frozen; null in models of before 0.2.
        macs: Multiply-accumulates for one image; null in models of before 0.2.
        weights_sha256: Of ``model.safetensors``.
        selftest: Real images with their outputs; null in models of before 0.2.
        int8: The 8-bit network, which predicts where there is one.
        explanation: Checks of its explanations; null where it has none, and before 0.2.
        files: SHA-256 of every file beside it, by name; null in models of before 0.2.
        intended_use: Begins with :data:`RESEARCH_USE_ONLY`; states if the data are simulated.
    """

    MAX_BYTES = 16 << 20

    architecture: Name
    arguments: DictOf[Plain]
    class_names: Annotated[TupleOf[Name], Field(min_length=2)]
    positive: Name | None
    preprocessing: Annotated[
        Annotated[Embedding, Tag("features")] | Annotated[Preprocessing, Tag("images")],
        Discriminator(_kind_of),
    ]
    mpp: _Spacing | None
    modality: Literal["brightfield", "fluorescence"] = "brightfield"
    threshold: Threshold
    temperature: Temperature
    temperature_source: Text = ""
    abstention: Abstention | None = None
    gate: Gate | None = None
    test_time: Literal["none", "dihedral"] = "none"
    transfer_chain: ListOf[TransferStage] = Field(default_factory=list)
    teachers: TupleOf[Teacher] = ()
    frozen: Text | None = None
    unfrozen: TupleOf[Text] = ()
    data_fingerprint: Text
    data_licence: Text
    simulated: Flag
    metrics: DictOf[MetricBlock] = Field(default_factory=dict)
    parity: DictOf[NotNegative | Count] = Field(default_factory=dict)
    params: Count
    trainable: Count | None = None
    macs: Count | None = None
    weights_sha256: Text
    selftest: SelfTest | None = None
    int8: Int8 | None = None
    explanation: ExplanationChecks | None = None
    files: DictOf[Text] | None = None
    licence: Text
    intended_use: _IntendedUse = RESEARCH_USE_ONLY

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        names = self.class_names
        listed = shorten(", ".join(names), 200)
        if len(set(names)) != len(names):
            raise ValueError(f"class_names should be different, got {listed}")
        if self.positive is not None and self.positive not in names:
            raise ValueError(f"positive should be one of {listed}, got {self.positive[:80]!r}")
        if self.threshold.value is not None and (self.positive is None or len(names) != 2):
            raise ValueError("threshold.value needs a positive class, one of two")
        rule = self.abstention
        if rule is not None and not {*rule.n_groups} <= {*names}:
            raise ValueError(f"abstention.n_groups should be of {listed}")
        if rule is not None and rule.quantiles is not None and {*rule.quantiles} != {*names}:
            raise ValueError(f"abstention.quantiles should be those of {listed}")
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        is_fluorescence = self.modality == "fluorescence"
        has_planes = self.preprocessing.planes is not None
        if has_planes != is_fluorescence and not isinstance(self.preprocessing, Embedding):
            raise ValueError(f"modality {self.modality} does not fit preprocessing.planes")
        side = self.arguments.get("input_px", 1)
        if type(side) is not int or side < 1:
            raise ValueError("arguments.input_px should be a whole number of pixels")
        if self.architecture == "ensemble":
            members = self.arguments.get("members")
            if not isinstance(members, list):
                _check_folds(self.arguments)
            elif len(self.members) < 2:
                raise ValueError("arguments.members should be at least two")
        return self

    @property
    def members(self) -> list[EnsembleMember]:
        """The runs of an ensemble of chosen runs; empty for any other model."""
        found = self.arguments.get("members") if self.architecture == "ensemble" else None
        return [EnsembleMember.model_validate(m) for m in found] if isinstance(found, list) else []


def _check_folds(arguments: dict[str, Any]) -> None:
    """Check the arguments of an ensemble of folds."""
    count, network = arguments.get("members"), arguments.get("architecture")
    if type(count) is not int or count < 1 or not isinstance(network, str):
        raise ValueError("an ensemble's arguments should have architecture and members, 1 or more")
