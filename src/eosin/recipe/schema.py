"""The recipe: one frozen tree of every knob, with shapes and ranges.

A stage of the pipeline receives its own section, never the whole. Registry names (data sets,
networks, policies) are checked by the pipeline, before any data is read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from eosin.recipe.data import DataSection
from eosin.recipe.section import PositiveInt, Section, Share

PositiveFloat = Annotated[float, Field(gt=0.0)]
#: What stands before the colon in the name of a head on features that were computed elsewhere.
EMBEDDING = "embedding"
#: Where a stain reference comes from unless a file is named.
TRAINING = "training"
#: Of what names a folder.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class StainSection(Section):
    """Stain normalisation of brightfield images.

    Attributes:
        method: ``none``, or a registered one: ``macenko``, ``reinhard``, ``vahadane``.
        reference: What images are made to look like: the ``training`` part's typical stain, or an
            image file, relative to the recipe.
        unit: Whose own stain is taken away: the ``tile``'s, or that of all tiles of its ``slide``
            or ``patient`` together, for tiles too small to tell it.
    """

    method: str = "none"
    reference: Annotated[str, Field(min_length=1)] = TRAINING
    unit: Literal["tile", "slide", "patient"] = "tile"

    @property
    def is_on(self) -> bool:
        """Whether images are normalised at all."""
        return self.method != "none"

    @property
    def file(self) -> str | None:
        """The image that others are made to look like; nothing for the training part."""
        return None if self.reference == TRAINING else self.reference

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if not self.is_on and (self.file or self.unit != "tile"):
            raise ValueError('`reference` and `unit` need a `method` other than "none"')
        return self


class AugmentSection(Section):
    """Augmentation: of training images, and of what is judged.

    Attributes:
        policy: Registered policy, for training images alone.
        copies: Show each training image as so many copies, each changed once and for all; by
            default every epoch draws anew.
        test_time: ``none``, or ``dihedral``: an image is judged by the mean of its eight mirrored
            and turned views.
    """

    policy: str = "none"
    copies: Annotated[int, Field(ge=1, le=64)] | None = None
    test_time: Literal["none", "dihedral"] = "none"


class ModelSection(Section):
    """The network.

    Attributes:
        name: Registered network; ``embedding:FILE`` is a head on features computed elsewhere, the
            file relative to the recipe.
        input_px: Height and width of its input; the network's own by default.
        arguments: Further arguments of the network.
        preprocessing: ``unit`` (values / 255), ``centred`` (to −1…1), ``imagenet`` (/ 255, then
            ImageNet's mean and standard deviation) or ``caffe`` (BGR minus ImageNet's channel
            means, as Keras' VGG16); the network's own by default.
        backend: What trains it: ``pytorch``, or ``numpy``, the engine for P3's networks, which
            needs no PyTorch.
    """

    name: str
    backend: Literal["pytorch", "numpy"] = "pytorch"
    input_px: Annotated[int, Field(ge=8, le=4096)] | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    preprocessing: Literal["unit", "centred", "caffe", "imagenet"] | None = None

    @property
    def table(self) -> str | None:
        """The file of features that the name speaks of; nothing for a network that sees images."""
        family, _, file = self.name.partition(":")
        return file if family == EMBEDDING else None


class TransferStage(Section):
    """One training on other data; the next one begins with its backbone.

    Attributes:
        name: Letters, digits, ``.``, ``_``, ``-``: it names the stage's run folder.
        data: Its images, labels and split.
        epochs: At most so many passes.
        freeze: What it leaves as it is, as in the section itself.
        lr: Initial learning rate; ``train.lr`` by default.
        augment: Registered policy; the recipe's by default.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=80)]
    data: DataSection
    epochs: PositiveInt
    freeze: str = "none"
    lr: PositiveFloat | None = None
    augment: str | None = None

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        if self.data.split.protocol == "folds":
            raise ValueError("a stage ends in one network: its split can't be folds")
        return self


class TransferSection(Section):
    """Where the initial weights come from, and which of them are trained.

    Attributes:
        source: ``none`` (random), ``imagenet``, or a ``.safetensors`` file; the head always
            begins at random.
        freeze: What the last training leaves as it is: ``none``, ``backbone`` (all but the head),
            ``before:NAME`` (all that comes before a stage of the network, or before a module).
        unfreeze_every: Epochs after which one stage of the network more is trained, from the cut
            towards the input; null keeps the cut.
        layer_decay: Factor on the learning rate from each stage of the network to the one before.
        standardise: Bring the features of a frozen backbone to mean 0 and deviation 1 over the
            training part before the head is trained on them; the trained head takes them as they
            were. Needs ``freeze = "backbone"`` and no augmentation.
        stage: Trainings on other data that come first, in order.
    """

    source: Annotated[str, Field(min_length=1)] = "none"
    freeze: str = "none"
    unfreeze_every: PositiveInt | None = None
    layer_decay: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    standardise: bool = False
    stage: tuple[TransferStage, ...] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [stage.name for stage in self.stage]
        if len(set(names)) < len(names):
            raise ValueError(f"each stage needs a name of its own, got {', '.join(names)}")
        return self


class ScheduleSection(Section):
    """How the learning rate changes; everything is counted in evaluations.

    Attributes:
        name: ``constant``, ``plateau``, ``step`` or ``cosine`` (over the whole training).
        factor: What ``plateau`` and ``step`` multiply by.
        patience: Evaluations without gain before ``plateau`` acts.
        every: Evaluations between the drops of ``step``.
        min_lr: Floor.
    """

    name: Literal["constant", "plateau", "step", "cosine"] = "constant"
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    patience: Annotated[int, Field(ge=0, lt=2**31)] = 2
    every: PositiveInt = 5
    min_lr: Annotated[float, Field(ge=0.0)] = 0.0


class TrainSection(Section):
    """The training.

    Attributes:
        epochs: At most so many passes.
        batch_size: Images a step; at least two, or batch-norm has no variance.
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        lr: Initial learning rate.
        betas: Adam's moments.
        momentum: SGD's.
        weight_decay: Decoupled for ``adamw``; added to the gradient otherwise.
        l2: λ of P3's penalty, λ / (2 · batch) · Σ w², on convolution and dense weights.
        balance: What evens out the classes of the training part: ``none``; ``sampler`` (every epoch
            draws as many images, each class alike often); ``oversample`` (all images, those of
            smaller classes repeated, each time augmented otherwise); ``smote`` (new features
            between neighbours, for a frozen backbone).
        class_weights: ``none``, or ``balanced`` (N / (K · N_class), by what an epoch shows).
        loss: ``cross_entropy``, or ``focal``, which turns to what is still wrong.
        focal_gamma: How strongly; 0 is cross-entropy.
        schedule: The learning rate's schedule.
        evaluations_per_epoch: Evaluations of the validation part in each epoch.
        monitor: What chooses the best state, stops early and drives ``plateau``; ``none`` keeps the
            last state.
        patience: Evaluations without gain before training stops; null never stops early.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto`` (mixed on CUDA, single elsewhere), ``32-true``, ``bf16-mixed``,
            ``16-mixed``.
        compile: On CUDA: fuse the network's operations with ``torch.compile``, which takes some
            minutes once; ignored elsewhere, where it needs a compiler and hardly gains.
        threads: CPU threads; the machine's by default.
        clip_gradient: Largest gradient norm; null never clips.
        batch_norm: What evaluation normalises by: the ``running`` statistics of the training
            steps, or ``recalibrated``, estimated before each evaluation over training images
            without dropout and augmentation.
        checkpoint_minutes: Inside an epoch, minutes between two checkpoints for ``--resume``; one
            is written at the end of every epoch in any case.
        loggers: Beside ``history.csv``: ``tensorboard`` and ``mlflow``, into the run's ``logs/``.
    """

    epochs: PositiveInt = 15
    batch_size: Annotated[int, Field(ge=2, lt=2**31)] = 32
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: PositiveFloat = 1e-3
    betas: tuple[Share, Share] = (0.9, 0.999)
    momentum: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    l2: Annotated[float, Field(ge=0.0)] = 0.0
    balance: Literal["none", "sampler", "oversample", "smote"] = "none"
    class_weights: Literal["none", "balanced"] = "none"
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    focal_gamma: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0
    schedule: ScheduleSection = ScheduleSection()
    evaluations_per_epoch: PositiveInt = 1
    monitor: Literal["val_loss", "val_accuracy", "val_auc", "none"] = "val_loss"
    patience: PositiveInt | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    compile: bool = False
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    clip_gradient: PositiveFloat | None = None
    batch_norm: Literal["running", "recalibrated"] = "running"
    checkpoint_minutes: Annotated[float, Field(ge=0.0)] = 5.0
    loggers: tuple[Literal["tensorboard", "mlflow"], ...] = ()

    @model_validator(mode="after")
    def _check_monitor(self) -> Self:
        if self.monitor == "none" and (self.patience or self.schedule.name == "plateau"):
            raise ValueError('`monitor = "none"` drives neither `patience` nor `plateau`')
        return self


class EvaluateSection(Section):
    """The judging.

    Attributes:
        resamples: Bootstrap resamples of groups.
        target_recall: Recall of the positive class that the threshold is chosen to reach.
        recall_bound: What must reach it: the recall itself (``point``), or the lower end of its
            95 % interval clustered by group (``lower``).
        temperature: Whether logits are scaled by a temperature fitted on validation.
        prevalence: Share of the positive class where the model is to be used, for predictive
            values; by default that of the judged images, which is said beside them.
        abstain: Whether the model may abstain, by conformal prediction.
        alpha: Share of images of each class whose label the conformal set may miss.
    """

    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    target_recall: Annotated[float, Field(gt=0.0, le=1.0)] = 0.90
    recall_bound: Literal["point", "lower"] = "point"
    temperature: bool = True
    prevalence: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    abstain: bool = True
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.10


class Recipe(Section):
    """One experiment.

    Attributes:
        name: Letters, digits, ``.``, ``_``, ``-``: it names the run folder.
        description: What the recipe reproduces, in a sentence.
        seed: Every random choice follows from it.
        data: Images, labels, split.
        stain: Stain normalisation.
        augment: Augmentation.
        model: Network.
        transfer: Where initial weights come from.
        train: Training.
        evaluate: Judging.
    """

    name: Annotated[str, Field(pattern=NAME, max_length=80)]
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataSection
    stain: StainSection = StainSection()
    augment: AugmentSection = AugmentSection()
    model: ModelSection
    transfer: TransferSection = TransferSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()
