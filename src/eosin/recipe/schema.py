"""The recipe: one frozen tree of every setting, with types and ranges.

A stage receives its own section, never the whole. Registry names (data sets, networks, policies)
are checked later, before any data is read.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from eosin.core.types import InputStyle, ResizeRule
from eosin.recipe.data import DataSection
from eosin.recipe.section import PositiveInt, Section, Share

PositiveFloat = Annotated[float, Field(gt=0.0)]
_InputSide = Annotated[int, Field(ge=8, le=4096)]
#: Prefix of the name of a head on precomputed features.
EMBEDDING = "embedding"
#: Source of initial weights that are a network's own, from its registry entry.
IMAGENET = "imagenet"
#: Default of the stain reference, in place of a file.
TRAINING = "training"
#: Pattern of a folder's name.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class StainSection(Section):
    """Stain normalisation of brightfield images.

    Attributes:
        method: ``none``, or a registered one: ``macenko``, ``reinhard``, ``vahadane``.
        reference: The stain to normalise to: the ``training`` subset's typical stain (of a chain's
            first training), or an image file, relative to the recipe.
        unit: Unit whose stain is estimated: the ``tile``, or all tiles of its ``slide`` or
            ``patient`` together, for tiles too small for an estimate.
        apply_to: ``all`` images; or ``training`` images only, so that validation images, test
            images and those of a prediction are not normalised.
    """

    method: str = "none"
    reference: Annotated[str, Field(min_length=1)] = TRAINING
    unit: Literal["tile", "slide", "patient"] = "tile"
    apply_to: Literal["all", "training"] = "all"

    @property
    def is_on(self) -> bool:
        """True if images are normalised."""
        return self.method != "none"

    @property
    def file(self) -> str | None:
        """The reference image; None for the training subset."""
        return None if self.reference == TRAINING else self.reference

    @model_validator(mode="after")
    def _check_method(self) -> Self:
        if not self.is_on and (self.file or self.unit != "tile" or self.apply_to != "all"):
            raise ValueError('`reference`, `unit` and `apply_to` need a `method` other than "none"')
        return self


class AugmentSection(Section):
    """Augmentation at training and at test time.

    Attributes:
        policy: Registered policy, for training images only.
        copies: Number of fixed augmented copies of each training image; by default every epoch
            augments differently.
        copies_before_split: Make these copies of every image, not only of training images, and
            split the copies, as P4 and P5 published: copies of one image are then in more than one
            subset. Only for a split by image.
        test_time: ``none``, or ``dihedral``: the prediction is the mean over the image's eight
            flipped and rotated views.
    """

    policy: str = "none"
    copies: Annotated[int, Field(ge=1, le=64)] | None = None
    copies_before_split: bool = False
    test_time: Literal["none", "dihedral"] = "none"


class ModelSection(Section):
    """The network.

    Attributes:
        name: Registered network; ``embedding:FILE`` is a head on precomputed features, the file
            relative to the recipe.
        input_px: Height and width of its input; the network's own by default. With ``field_px``
            those of a crop.
        field_px: Height and width that images are resized to, of which the network sees square
            crops of ``input_px``: random ones in training; otherwise as many evenly spaced ones as
            cover the field, whose mean probability is the prediction. By default the network sees
            all of an image, resized to a square.
        mpp: µm per pixel at the network's input where the column ``mpp`` is empty, as of
            squashed images; recorded in the model, which then refuses images of another.
        arguments: Further arguments of the network.
        resize: From the image to the input: ``stretch`` ignores the aspect ratio; ``centre_crop``
            crops rows or columns from the edges to a centred square first, which keeps µm per
            pixel known; ``none`` refuses any other size.
        preprocessing: ``unit`` (values / 255), ``centred`` (to −1…1), ``imagenet`` (/ 255, then
            ImageNet's mean and standard deviation), ``imagenet_twice`` (/ 255 twice, then the
            same: P5's other reading) or ``caffe`` (BGR minus ImageNet's channel means, as Keras'
            VGG16); the network's own by default.
        backend: Training library: ``pytorch``, or ``numpy``, the engine for P3's networks, which
            needs no PyTorch.
    """

    name: str
    backend: Literal["pytorch", "numpy"] = "pytorch"
    input_px: _InputSide | None = None
    field_px: tuple[_InputSide, _InputSide] | None = None
    mpp: Annotated[float, Field(ge=0.01, le=100.0)] | None = None
    arguments: dict[str, Any] = Field(default_factory=dict)
    resize: ResizeRule = "stretch"
    preprocessing: InputStyle | None = None

    @property
    def table(self) -> str | None:
        """The file of features in the name; None for a network on images."""
        family, _, file = self.name.partition(":")
        return file if family == EMBEDDING else None


class TransferStage(Section):
    """One training on other data; its backbone is the initial one of the next.

    Attributes:
        name: Letters, digits, ``.``, ``_``, ``-``: it names the stage's run folder.
        data: Its images, labels and split.
        epochs: Most passes over the data.
        freeze: Frozen layers, as in the section itself.
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
            raise ValueError("a stage trains one network, so its split cannot be folds")
        return self


class TransferSection(Section):
    """Initial weights and frozen layers.

    Attributes:
        source: ``none`` (random), ``imagenet``, or a ``.safetensors`` file; the head is always
            initialised at random.
        freeze: Layers frozen in the last training: ``none``, ``backbone`` (all but the head),
            ``before:NAME`` (all before a stage of the network, or before a module).
        unfreeze_every: Epochs after which one more stage of the network is trained, from the cut
            towards the input; null keeps the cut.
        layer_decay: Factor on the learning rate from each stage of the network to the one before.
        standardise: Standardise the features of a frozen backbone to mean 0 and deviation 1 over
            the training subset while the head is trained; the trained head takes unscaled
            features. Needs ``freeze = "backbone"`` and no augmentation.
        stage: Earlier trainings on other data, in order.
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
            raise ValueError(f"stage names must be unique, got {', '.join(names)}")
        return self


class ScheduleSection(Section):
    """Learning-rate schedule; all but the warm-up is counted in evaluations.

    Attributes:
        name: ``constant``, ``plateau``, ``step`` or ``cosine`` (over the whole training).
        factor: Factor of ``plateau`` and ``step``.
        patience: Evaluations without improvement before ``plateau`` acts.
        every: Evaluations between the drops of ``step``.
        min_lr: Lowest learning rate.
        warmup: Epochs, or a fraction of one, in which the learning rate rises linearly, step by
            step, to that of the schedule.
    """

    name: Literal["constant", "plateau", "step", "cosine"] = "constant"
    factor: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    patience: Annotated[int, Field(ge=0, lt=2**31)] = 2
    every: PositiveInt = 5
    min_lr: Annotated[float, Field(ge=0.0)] = 0.0
    warmup: Annotated[float, Field(ge=0.0)] = 0.0


class TrainSection(Section):
    """Training.

    Attributes:
        epochs: Largest number of passes over the data.
        batch_size: Images per step; at least two, since batch-norm needs a variance.
        optimizer: ``adam``, ``adamw`` or ``sgd``.
        lr: Initial learning rate.
        betas: Adam's decay rates.
        momentum: SGD's.
        weight_decay: Decoupled for ``adamw``; added to the gradient otherwise.
        l2: λ of P3's penalty, λ / (2 · batch) · Σ w², on convolution and dense weights; part of
            the training loss in ``history.csv``, not of ``val_loss``.
        balance: Class balancing of the training subset: ``none``; ``sampler`` (the same number of
            images per epoch, drawn equally from each class); ``oversample`` (all images, those of
            smaller classes repeated with different augmentation); ``smote`` (features interpolated
            between neighbours, for a frozen backbone).
        class_weights: ``none``, or ``balanced`` (N / (K · N_class), by the images of an epoch).
        loss: ``cross_entropy``, or ``focal``, which emphasises misclassified images.
        focal_gamma: The focal loss's exponent; 0 is cross-entropy.
        label_smoothing: Share of the target that is spread equally over all classes, of
            ``cross_entropy``; part of the training loss in ``history.csv``, not of ``val_loss``.
        mixup: α of the Beta distribution from which the share is drawn in which each image of a
            batch is mixed with another; 0 mixes none. Training accuracy and precision in
            ``history.csv`` are then those of mixed images, by the class of the larger share.
        teachers: Finished runs whose mean probabilities the network learns, too (knowledge
            distillation), relative to the recipe; for folds, runs with the same folds.
            docs/training.md
        teacher_weight: Share of the loss for the teachers' probabilities; the rest is for labels.
        schedule: Learning-rate schedule.
        evaluations_per_epoch: Evaluations of the validation subset in each epoch.
        monitor: Metric that chooses the best state, stops early and drives ``plateau``; ``none``
            keeps the last state.
        patience: Evaluations without improvement before training stops; null never stops early.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto`` (mixed on CUDA, single elsewhere), ``32-true``, ``bf16-mixed``,
            ``16-mixed``.
        compile: On CUDA: fuse the network's operations with ``torch.compile``, which takes some
            minutes once; ignored elsewhere, where it needs a compiler and hardly gains.
        threads: CPU threads; the machine's by default.
        clip_gradient: Largest gradient norm; null never clips.
        batch_norm: Statistics for evaluation: the ``running`` ones of the training steps, or
            ``recalibrated`` (precise), estimated before each evaluation over training images
            without dropout and augmentation.
        weight_averaging: Weights that are evaluated, monitored and kept: those of the last step
            (``none``); their exponential moving average (``ema``); or from three quarters of the
            epochs on the mean of those at each evaluation (``swa``, stochastic weight averaging,
            with batch-norm recalibrated). docs/training.md
        ema_decay: Largest decay of ``ema`` per step; lower in the first steps.
        checkpoint_minutes: Minutes between checkpoints for ``--resume`` inside an epoch; every
            epoch ends with one in any case.
        loggers: In addition to ``history.csv``: ``tensorboard`` and ``mlflow``, into ``logs/``.
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
    label_smoothing: Share = 0.0
    mixup: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    teachers: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    teacher_weight: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
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
    weight_averaging: Literal["none", "ema", "swa"] = "none"
    ema_decay: Share = 0.999
    checkpoint_minutes: Annotated[float, Field(ge=0.0)] = 5.0
    loggers: tuple[Literal["tensorboard", "mlflow"], ...] = ()

    @model_validator(mode="after")
    def _check_monitor(self) -> Self:
        if self.monitor == "none" and (self.patience or self.schedule.name == "plateau"):
            raise ValueError('`monitor = "none"` cannot be combined with `patience` or `plateau`')
        return self

    @model_validator(mode="after")
    def _check_loss(self) -> Self:
        if self.label_smoothing and self.loss == "focal":
            raise ValueError('`label_smoothing` cannot be combined with `loss = "focal"`')
        return self

    @model_validator(mode="after")
    def _check_warmup(self) -> Self:
        if self.schedule.warmup >= self.epochs:
            raise ValueError(
                f"`schedule.warmup` must be less than `epochs`, which is {self.epochs}"
            )
        return self

    @model_validator(mode="after")
    def _check_averaging(self) -> Self:
        if self.weight_averaging == "swa" and self.patience:
            raise ValueError(
                '`weight_averaging = "swa"` begins late: it cannot be combined with `patience`'
            )
        return self


class EvaluateSection(Section):
    """Evaluation.

    Attributes:
        resamples: Bootstrap resamples of groups.
        target_recall: Recall of the positive class that the threshold is tuned to reach.
        recall_bound: What must reach it: the recall itself (``point``), or the lower end of its
            95 % interval clustered by group (``lower``).
        temperature: Scale logits by a temperature fitted on validation.
        prevalence: Proportion of the positive class where the model is to be used, for predictive
            values; by default that of the evaluated images, which is stated with the values.
        abstain: Allow the model to abstain, by conformal prediction.
        alpha: Fraction of images of each class whose label the conformal set may miss.
        gate: Abstain on images that differ from the training images: blank, blurred, inked, of
            another stain or scale, or of another kind.
        robustness: Measure the model on changed test images, too; the page and the card show it.
    """

    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    target_recall: Annotated[float, Field(gt=0.0, le=1.0)] = 0.90
    recall_bound: Literal["point", "lower"] = "point"
    temperature: bool = True
    prevalence: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    abstain: bool = True
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.10
    gate: bool = True
    robustness: bool = False


class Recipe(Section):
    """One experiment.

    Attributes:
        name: Letters, digits, ``.``, ``_``, ``-``: it names the run folder.
        description: What the recipe reproduces, in a sentence.
        seed: Seed of every random choice.
        data: Images, labels, split.
        stain: Stain normalisation.
        augment: Augmentation.
        model: Network.
        transfer: Initial weights and frozen layers.
        train: Training.
        evaluate: Evaluation.
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

    @property
    def split_seed(self) -> int:
        """Seed of the split: its own, else that of the recipe."""
        own = self.data.split.seed
        return self.seed if own is None else own
