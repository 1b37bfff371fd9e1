"""The network under training: batch in, loss out, scores at every evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from eosin.artifacts.model import Preprocessing
from eosin.augment import Policy
from eosin.core.errors import TrainingError
from eosin.core.types import FloatArray
from eosin.metrics.catalogue import HISTORY_TRAIN
from eosin.networks.freezing import freeze, hold_still
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import seed_torch
from eosin.runtime.door import import_companion
from eosin.training.batches import Batch
from eosin.training.inputs import InputScaling, augmented_input
from eosin.training.losses import mean_loss
from eosin.training.schedules import make_optimizer, make_scheduler, step_scheduler
from eosin.training.scores import score
from eosin.training.tuning import Tuning

lightning = import_companion("lightning.pytorch")


@dataclass(frozen=True)
class Task:
    """What the module must know beside the network.

    Attributes:
        preprocessing: From 8-bit images to the network's input.
        policy: Augmentation of training images.
        class_weights: Weight of each class in the loss, shape (K,).
        positive: Index of the positive class; ``None`` for macro averages.
        evaluations: How many evaluations the whole training has.
        seed: The run's seed.
        tuning: Which weights are trained when, and how fast.
        is_embedded: Whether the network's input lies ready: what a frozen backbone made of each
            image, float32.
        backend: Of ``torch.compile``; nothing runs the network as it is.
    """

    preprocessing: Preprocessing
    policy: Policy
    class_weights: FloatArray
    positive: int | None
    evaluations: int
    seed: int
    tuning: Tuning = field(default_factory=Tuning)
    is_embedded: bool = False
    backend: str | None = None


class ClassifierModule(lightning.LightningModule):  # type: ignore[misc,name-defined]
    """Trains a network for one recipe.

    Args:
        network: From (B, 3, H, W) to logits (B, K).
        section: The recipe's training section.
        task: Everything else.
    """

    def __init__(self, network: nn.Module, section: TrainSection, task: Task) -> None:
        super().__init__()
        self.network = network
        self.section = section
        self.task = task
        self.prepare = nn.Identity() if task.is_embedded else InputScaling(task.preprocessing)
        # A function and no module, which would be saved once more under another name.
        self._run = (_compiled(network, task.backend) if task.backend else network).__call__
        weights = torch.tensor(task.class_weights, dtype=torch.float32)
        self.register_buffer("_class_weights", weights, persistent=False)
        # P3 penalises weights, not biases or batch-norm's scale.
        self._penalised = [
            m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        self._train = _Tally()
        self._val = _Tally()
        self._cut = task.tuning.cut(network, 0)

    def train(self, mode: bool = True) -> ClassifierModule:
        """Choose the mode; what is frozen stays in evaluation."""
        super().train(mode)
        if mode:
            hold_still(self.network, self._cut)
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser; the schedule is stepped by hand, once an evaluation."""
        freeze(self.network, self._cut)
        optimizer = make_optimizer(self.network, self.section, self.task.tuning)
        self.scheduler = make_scheduler(
            optimizer,
            self.section.schedule,
            evaluations=self.task.evaluations,
            higher_better=self.section.monitor != "val_loss",
        )
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Make dropout a pure function of (seed, epoch), so that a resumed run repeats it."""
        seed_torch(self.task.seed, "epoch", self.current_epoch)
        self._cut = self.task.tuning.cut(self.network, self.current_epoch)
        freeze(self.network, self._cut)
        self.train()
        # Batches after an epoch's last evaluation belong to no history row.
        self._train = _Tally()

    def training_step(self, batch: Batch, _step: int) -> torch.Tensor:
        """Return the loss of one batch, augmented."""
        images, targets, index = batch
        place = (self.task.seed, self.current_epoch)
        inputs = augmented_input(images, self.prepare, self.task.policy, place, index)
        logits = self._run(inputs)
        loss = mean_loss(logits, targets, self._class_weights, self.section)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {self.current_epoch + 1}, "
                f"step {self.global_step + 1}",
                mend="Lower train.lr, or set train.clip_gradient",
            )
        self._train.add(value, logits, targets)
        return loss + self._penalty(len(images))

    def _penalty(self, batch_size: int) -> torch.Tensor | float:
        if self.section.l2 == 0.0:
            return 0.0
        squares = torch.stack([weight.square().sum() for weight in self._penalised])
        return self.section.l2 / (2 * batch_size) * squares.sum()

    def validation_step(self, batch: Batch, _step: int) -> None:
        """Tally one batch of the validation part, never augmented."""
        images, targets, _ = batch
        logits = self._run(self.prepare(images))
        loss = mean_loss(logits, targets, self._class_weights, self.section)
        self._val.add(loss.item(), logits, targets)

    def take_scores(self) -> dict[str, float | None]:
        """Return what was tallied since the last evaluation, and start anew."""
        positive = self.task.positive
        train, val = self._train.scores(positive), self._val.scores(positive)
        self._train, self._val = _Tally(), _Tally()
        scores = {name: train.get(name) for name in ("loss", *HISTORY_TRAIN)}
        return scores | {f"val_{name}": value for name, value in val.items()}

    def step_schedule(self, monitored: float) -> None:
        """Advance the learning-rate schedule by one evaluation."""
        step_scheduler(self.scheduler, monitored)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what Lightning does not know: the schedule, and what was tallied so far."""
        if self.scheduler is not None:
            checkpoint["eosin_schedule"] = self.scheduler.state_dict()
        checkpoint["eosin_tally"] = self._train.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember the schedule's state until the optimiser exists."""
        self._schedule_state = checkpoint.get("eosin_schedule")
        self._train.load_state_dict(checkpoint["eosin_tally"])

    def on_fit_start(self) -> None:
        """Put the schedule back where it was."""
        state = getattr(self, "_schedule_state", None)
        if self.scheduler is not None and state is not None:
            self.scheduler.load_state_dict(state)


def _compiled(network: nn.Module, backend: str) -> nn.Module:
    compiled: Any = torch.compile(network, backend=backend)
    return cast(nn.Module, compiled)


class _Tally:
    """Losses, logits and targets since the last evaluation."""

    def __init__(self) -> None:
        self._loss = 0.0
        self._logits: list[torch.Tensor] = []
        self._targets: list[torch.Tensor] = []

    def add(self, loss: float, logits: torch.Tensor, targets: torch.Tensor) -> None:
        self._loss += loss * len(targets)
        self._logits.append(logits.detach().float().cpu())
        self._targets.append(targets.cpu())

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs; one tensor a kind, however many batches there were."""
        kept = {"logits": self._logits, "targets": self._targets}
        return {"loss": self._loss, **{key: torch.cat(v) for key, v in kept.items() if v}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._loss = state["loss"]
        self._logits = [state["logits"]] if "logits" in state else []
        self._targets = [state["targets"]] if "targets" in state else []

    def scores(self, positive: int | None) -> dict[str, float | None]:
        """Return the scores; ``None`` where one is undefined."""
        if not self._targets:
            return {}
        logits = torch.cat(self._logits)
        targets = torch.cat(self._targets).numpy()
        return score(logits.numpy(), targets, self._loss / len(targets), positive)
