"""Lightning module of the network under training: loss of a batch, scores at every evaluation."""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import nn

from eosin.core.errors import TrainingError
from eosin.core.types import FloatArray, IntArray
from eosin.metrics.catalogue import HISTORY_TRAIN
from eosin.networks.freezing import freeze, hold_still
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import seed_torch
from eosin.runtime.door import import_companion
from eosin.training.data import FitInputs
from eosin.training.history import Tally
from eosin.training.loader import Batch, InputScaling, augmented_input
from eosin.training.optimisers import make_optimizer, make_scheduler, mean_loss, step_scheduler

lightning = import_companion("lightning.pytorch")


class ClassifierModule(lightning.LightningModule):  # type: ignore[misc,name-defined]
    """Training of a network for one recipe.

    Args:
        network: Maps (B, 3, H, W) to logits (B, K).
        section: The recipe's training section.
        inputs: Training inputs; the images are not read here.
        class_weights: Weight of each class in the loss, shape (K,).
        evaluations: Number of evaluations of the whole training.
        backend: Backend of ``torch.compile``; without one the network is not compiled.
    """

    def __init__(
        self,
        network: nn.Module,
        section: TrainSection,
        inputs: FitInputs,
        *,
        class_weights: FloatArray,
        evaluations: int,
        backend: str | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.section = section
        self.inputs = inputs
        self._evaluations = evaluations
        self.prepare = nn.Identity() if inputs.is_embedded else InputScaling(inputs.preprocessing)
        # A function, not a module, which would be saved again under another name.
        self._run = (_compiled(network, backend) if backend else network).__call__
        weights = torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("_class_weights", weights, persistent=False)
        # P3 penalises weights, not biases or batch-norm's scale.
        self._penalised = [
            m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        self._train = Tally()
        self._val = Tally()
        self._cut = inputs.tuning.cut(network, 0)

    def train(self, mode: bool = True) -> ClassifierModule:
        """Set the mode; frozen layers stay in evaluation mode."""
        super().train(mode)
        if mode:
            hold_still(self.network, self._cut)
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Build the optimiser; the schedule is stepped by hand, once per evaluation."""
        freeze(self.network, self._cut)
        optimizer = make_optimizer(self.network, self.section, self.inputs.tuning)
        self.scheduler = make_scheduler(
            optimizer,
            self.section.schedule,
            evaluations=self._evaluations,
            higher_better=self.section.monitor != "val_loss",
        )
        return optimizer

    def on_train_epoch_start(self) -> None:
        """Make dropout a pure function of (seed, epoch), so that a resumed run repeats it."""
        seed_torch(self.inputs.seed, "epoch", self.current_epoch)
        self._cut = self.inputs.tuning.cut(self.network, self.current_epoch)
        freeze(self.network, self._cut)
        self.train()
        # Batches after an epoch's last evaluation belong to no history row.
        self._train = Tally()

    def training_step(self, batch: Batch, _step: int) -> torch.Tensor:
        """Return the loss of one batch, augmented."""
        images, targets, index = batch
        place = (self.inputs.seed, self.current_epoch)
        inputs = augmented_input(images, self.prepare, self.inputs.policy, place, index)
        logits = self._run(inputs)
        loss = mean_loss(logits, targets, self._class_weights, self.section)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {self.current_epoch + 1}, "
                f"step {self.global_step + 1}",
                hint="Lower train.lr, or set train.clip_gradient",
            )
        self._train.add(*_arrays(logits, targets), value)
        return loss + self._penalty(len(images))

    def _penalty(self, batch_size: int) -> torch.Tensor | float:
        if self.section.l2 == 0.0:
            return 0.0
        squares = torch.stack([weight.square().sum() for weight in self._penalised])
        return self.section.l2 / (2 * batch_size) * squares.sum()

    def validation_step(self, batch: Batch, _step: int) -> None:
        """Accumulate one batch of the validation part, never augmented."""
        images, targets, _ = batch
        logits = self._run(self.prepare(images))
        loss = mean_loss(logits, targets, self._class_weights, self.section)
        self._val.add(*_arrays(logits, targets), loss.item())

    def take_scores(self) -> dict[str, float | None]:
        """Return the scores since the last evaluation, and reset."""
        positive = self.inputs.positive
        train, val = self._train.scores(positive), self._val.scores(positive)
        self._train, self._val = Tally(), Tally()
        scores = {name: train.get(name) for name in ("loss", *HISTORY_TRAIN)}
        return scores | {f"val_{name}": value for name, value in val.items()}

    def step_schedule(self, monitored: float) -> None:
        """Advance the learning-rate schedule by one evaluation."""
        step_scheduler(self.scheduler, monitored)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what Lightning does not: the schedule and the accumulated training scores."""
        if self.scheduler is not None:
            checkpoint["eosin_schedule"] = self.scheduler.state_dict()
        checkpoint["eosin_tally"] = {
            key: torch.from_numpy(value) if key != "loss" else value
            for key, value in self._train.state().items()
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the schedule's state until the optimiser exists."""
        self._schedule_state = checkpoint.get("eosin_schedule")
        tally = checkpoint["eosin_tally"]
        self._train.load(
            {key: value if key == "loss" else value.numpy() for key, value in tally.items()}
        )

    def on_fit_start(self) -> None:
        """Restore the schedule's state."""
        state = getattr(self, "_schedule_state", None)
        if self.scheduler is not None and state is not None:
            self.scheduler.load_state_dict(state)


def _compiled(network: nn.Module, backend: str) -> nn.Module:
    compiled: Any = torch.compile(network, backend=backend)
    return cast(nn.Module, compiled)


def _arrays(logits: torch.Tensor, targets: torch.Tensor) -> tuple[FloatArray, IntArray]:
    return logits.detach().float().cpu().numpy(), targets.cpu().numpy()
