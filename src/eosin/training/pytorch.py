"""Training with PyTorch: steps, evaluations and checkpoints of any network on any device."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from eosin.artifacts.layout import RunFolder
from eosin.core.errors import TrainingError
from eosin.core.types import FloatArray, IntArray
from eosin.networks.freezing import freeze, hold_still
from eosin.networks.multi_crop import take_fields
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import DRAWING, autocast, seed_torch
from eosin.runtime.unpickling import read_checkpoint
from eosin.training import loop
from eosin.training.averaging import WeightAverage
from eosin.training.batch_norm import choose_images, estimate_statistics
from eosin.training.checkpoints import load_weights, save_weights
from eosin.training.data import FitInputs, ImagePart, Probe, read_peak_bytes
from eosin.training.history import Row, Tally, foreign_checkpoint
from eosin.training.loader import Batch, InputScaling, augment, crop_randomly, read_part
from eosin.training.mixup import Mixup
from eosin.training.optimisers import (
    make_optimizer,
    make_scheduler,
    mean_loss,
    step_scheduler,
    teacher_loss,
    warming_up,
)
from eosin.training.sampler import EpochBatches, evaluation_steps, make_batches

#: Format of ``last.ckpt``.
_FORMAT = 1


def fit(
    network: nn.Module,
    section: TrainSection,
    inputs: FitInputs,
    run: RunFolder,
    *,
    on_row: Callable[[Row], None] | None = None,
) -> nn.Module:
    """Train a network, resuming from ``checkpoints/last.ckpt`` if it exists.

    Args:
        network: Fresh, seeded; maps (B, 3, H, W) to logits (B, K).
        section: The recipe's training section.
        inputs: Training inputs.
        run: Destination of history and checkpoints.
        on_row: Called with every history row.

    Returns:
        The same network in the state of its best evaluation, on the CPU, in evaluation mode.

    Raises:
        TrainingError: The loss is not finite, or memory ran out.
        ArtifactError: The checkpoint is damaged.
        KeyboardInterrupt: Ctrl-C; the last checkpoint can be resumed.
    """
    with _explain_torch():
        loop.train(TorchLearner(network, section, inputs), section, inputs, run, on_row=on_row)
    return network.cpu().eval()


def probe(network: nn.Module, section: TrainSection, inputs: FitInputs) -> Probe:
    """Time a few training steps and an evaluated batch; the network's weights are changed."""
    section, some = loop.probe_inputs(section, inputs)
    learner = TorchLearner(network, section, some)
    is_cuda = learner.device == "cuda"
    peak = torch.cuda.max_memory_allocated if is_cuda else read_peak_bytes
    return replace(loop.probe(learner, section, some, peak), on_accelerator=is_cuda)


class TorchLearner:
    """A PyTorch network in training; a :class:`~eosin.training.loop.Learner`.

    Args:
        network: Maps (B, 3, H, W) to logits (B, K); in multi-crop evaluation crops of the images.
        section: The recipe's training section.
        inputs: Training inputs.
        backend: Backend of ``torch.compile``; by default the recipe's choice.
    """

    def __init__(
        self,
        network: nn.Module,
        section: TrainSection,
        inputs: FitInputs,
        *,
        backend: Any = None,
    ) -> None:
        settings = inputs.device_settings
        if section.compile and settings.can_compile:
            backend = "inductor"
        self.device = settings.accelerator
        self.reads_ahead = self.device != "cpu"
        # Images come with channels last; weights in the same layout are not turned at every step.
        to_layout: Any = network.to(self.device).to
        self.network: nn.Module = to_layout(memory_format=torch.channels_last)
        self._section, self._inputs = section, inputs
        # torch.compile's module would be saved under other names: only its call is kept.
        compiled: Any = torch.compile(network, backend=backend) if backend else network
        self._run = compiled.__call__
        self._run_whole = take_fields(compiled, inputs.preprocessing).__call__
        self._scaling = InputScaling(inputs.preprocessing).to(self.device)
        self._memory = torch.empty(0, device=self.device)
        weights = torch.tensor(inputs.class_weights(section), dtype=torch.float32)
        self._class_weights = weights.to(self.device)
        # P3 penalises weights, not biases or batch-norm's scale.
        self._penalised = [
            m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        self._epoch = 0
        self._choose_trainable(0)
        is_averaged = section.weight_averaging != "none"
        self._average = WeightAverage(network, section) if is_averaged else None
        self._optimizer = make_optimizer(network, section, inputs.tuning)
        n_batches = len(make_batches(inputs.train.targets, section, inputs.seed))
        self._warmup_steps, self._warmth = round(section.schedule.warmup * n_batches), 1.0
        n_evaluations = len(evaluation_steps(n_batches, section.evaluations_per_epoch))
        self._scheduler = make_scheduler(
            self._optimizer,
            section.schedule,
            evaluations=section.epochs * n_evaluations,
            higher_better=section.monitor != "val_loss",
        )
        is_half = settings.precision == "16-mixed"
        self._scaler = torch.amp.GradScaler(self.device, enabled=is_half)

    @property
    def lr(self) -> float:
        """The head's learning rate, in the warm-up that of the last step."""
        return float(self._optimizer.param_groups[0]["lr"]) * self._warmth

    def begin_epoch(self, epoch: int) -> None:
        """Choose the trainable weights of an epoch."""
        self._epoch = epoch
        self._choose_trainable(epoch)
        self._train()

    def _choose_trainable(self, epoch: int) -> None:
        self._cut = self._inputs.tuning.cut(self.network, epoch)
        freeze(self.network, self._cut, self._inputs.tuning.untrained)

    def _train(self) -> None:
        self.network.train()
        hold_still(self.network, self._cut, self._inputs.tuning.untrained)

    def read(self, rows: list[int], epoch: int) -> Batch:
        """Read a batch, move it to the device and augment it."""
        images, targets, index = read_part(self._inputs.train, rows)
        place = (self._inputs.seed, epoch)
        images = crop_randomly(images, self._inputs.preprocessing.crop_px, place, index)
        images = augment(images.to(self.device), self._inputs.policy, place, index)
        return images, targets.to(self.device), index

    def step(self, batch: Batch, number: int) -> tuple[FloatArray, IntArray, float]:
        """Train on a batch; dropout is a pure function of (seed, number)."""
        images, targets, index = batch
        with DRAWING, autocast(self._inputs.device_settings):
            seed_torch(self._inputs.seed, "step", number)
            inputs = self._scale(images, self._memory_of(images))
            logits, loss = self._forward(inputs, targets, index, number)
            penalised = loss + self._penalty(len(images))
        self._optimizer.zero_grad()
        self._scaler.scale(penalised).backward()  # type: ignore[no-untyped-call]
        if self._section.clip_gradient is not None:
            self._scaler.unscale_(self._optimizer)
            weights = [w for group in self._optimizer.param_groups for w in group["params"]]
            nn.utils.clip_grad_norm_(weights, self._section.clip_gradient)
        self._warmth = min(1.0, (number + 1) / max(self._warmup_steps, 1))
        with warming_up(self._optimizer, self._warmth):
            self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._average is not None:
            self._average.add_step(self.network)
        return *_arrays(logits, targets), penalised.item()

    def _forward(
        self, inputs: torch.Tensor, targets: torch.Tensor, index: torch.Tensor, number: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits of a training batch, possibly mixed, and its mean loss."""
        section, seed = self._section, self._inputs.seed
        mixup = Mixup.draw(section.mixup, len(inputs), seed, number) if section.mixup else None
        logits = self._run(inputs if mixup is None else mixup.mix(inputs))
        soft = self._soft_targets(index)

        def loss(rows: slice | torch.Tensor) -> torch.Tensor:
            classes, weights = targets[rows], self._class_weights
            smoothing = section.label_smoothing
            hard = mean_loss(logits, classes, weights, section, label_smoothing=smoothing)
            if soft is None:
                return hard
            taught = teacher_loss(logits, soft[rows], weights[classes])
            return (1.0 - section.teacher_weight) * hard + section.teacher_weight * taught

        return logits, loss(slice(None)) if mixup is None else mixup.mean_loss(loss)

    def _soft_targets(self, index: torch.Tensor) -> torch.Tensor | None:
        """Return the teachers' probabilities of a batch, shape (B, K)."""
        part = self._inputs.train
        if part.soft is None:
            return None
        return torch.from_numpy(part.soft[index.numpy() % len(part)]).to(self.device)

    def _scale(self, images: torch.Tensor, memory: torch.Tensor | None = None) -> torch.Tensor:
        if self._inputs.is_embedded:
            return images
        scaled: torch.Tensor = self._scaling(images, memory)
        return scaled

    def _memory_of(self, images: torch.Tensor) -> torch.Tensor:
        """Return the memory that each training batch is scaled into."""
        if self._memory.numel() < images.numel():
            self._memory = torch.empty(images.numel(), device=self.device)
        return self._memory

    def _penalty(self, batch_size: int) -> torch.Tensor | float:
        if self._section.l2 == 0.0:
            return 0.0
        squares = torch.stack([weight.square().sum() for weight in self._penalised])
        return self._section.l2 / (2 * batch_size) * squares.sum()

    def evaluate(self) -> Tally:
        """Compute losses and logits of the validation subset, never augmented."""
        tally = Tally()
        self._update_average()
        network = self._evaluated.eval()
        whole = take_fields(network, self._inputs.preprocessing)
        run = self._run_whole if network is self.network else whole.__call__
        with torch.inference_mode(), autocast(self._inputs.device_settings):
            if self._is_recalibrated(network):
                part = choose_images(self._inputs.once, self._inputs.seed)
                batches = (inputs for inputs, _ in self._read_in_order(part))
                estimate_statistics(network, batches, whole)
            for inputs, targets in self._read_in_order(self._inputs.val):
                logits = run(inputs)
                loss = mean_loss(logits, targets, self._class_weights, self._section)
                tally.add(*_arrays(logits, targets), loss.item())
        self._train()
        return tally

    @property
    def _evaluated(self) -> nn.Module:
        """The network to evaluate and keep: that of the averaged weights, once there are any."""
        average = self._average
        return average.network if average is not None and average.has_begun else self.network

    def _update_average(self) -> None:
        if self._average is not None:
            self._average.add_evaluation(self.network, self._epoch)
            # Batch-norm of frozen layers keeps its statistics in the average, too.
            freeze(self._average.network, self._cut, self._inputs.tuning.untrained)

    def _is_recalibrated(self, network: nn.Module) -> bool:
        is_swa = self._section.weight_averaging == "swa" and network is not self.network
        return is_swa or self._section.batch_norm == "recalibrated"

    def _read_in_order(self, part: ImagePart) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows in EpochBatches(len(part), self._section.batch_size, None).of(0):
            images, targets, _ = read_part(part, rows)
            yield self._scale(images.to(self.device)), targets.to(self.device)

    def step_schedule(self, monitored: float) -> None:
        """Advance the learning-rate schedule by one evaluation."""
        step_scheduler(self._scheduler, monitored)

    def save_weights(self, path: Path) -> None:
        """Write weights and buffers, averaged if they are, as safetensors."""
        save_weights(path, self._evaluated)

    def load_weights(self, path: Path) -> None:
        """Read what :meth:`save_weights` wrote."""
        load_weights(path, self.network)

    def save(self, path: Path, progress: dict[str, Any]) -> None:
        """Write a checkpoint, which :func:`torch.load` reads with ``weights_only``."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        parts["state_dict"] = self.network.state_dict()
        # In memory first: torch itself says of a full disk that its writer failed.
        written = io.BytesIO()
        torch.save({"format": _FORMAT, **parts, "progress": _map_arrays(progress)}, written)
        path.write_bytes(written.getbuffer())

    def load(self, path: Path) -> dict[str, Any]:
        """Restore the state that :meth:`save` wrote; return the loop's."""
        state = read_checkpoint(path)
        if state.get("format") != _FORMAT:
            raise foreign_checkpoint(path)
        try:
            self.network.load_state_dict(state["state_dict"])
        except RuntimeError as error:
            if "loading state_dict" not in str(error):
                raise
            raise foreign_checkpoint(path) from error
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        progress: dict[str, Any] = _map_arrays(state["progress"])
        # Of the last epoch that was trained: this may have been the last of all.
        self._choose_trainable(max(0, progress["epoch"] - 1))
        return progress

    def _parts(self) -> dict[str, Any]:
        parts = {
            "optimizer": self._optimizer,
            "schedule": self._scheduler,
            "scaler": self._scaler,
            "average": None if self._average is None else self._average.model,
        }
        return {name: part for name, part in parts.items() if part is not None}


def _arrays(logits: torch.Tensor, targets: torch.Tensor) -> tuple[FloatArray, IntArray]:
    return logits.detach().float().cpu().numpy(), targets.cpu().numpy()


def _map_arrays(value: Any) -> Any:
    """Return a checkpoint's values with arrays as tensors, or with tensors as arrays."""
    if isinstance(value, dict):
        return {key: _map_arrays(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.cpu().numpy() if isinstance(value, torch.Tensor) else value


@contextmanager
def _explain_torch() -> Iterator[None]:
    """Raise Eosin's errors for those of torch that a user can act on."""
    try:
        yield
    except MemoryError as error:
        raise TrainingError("memory ran out", hint="Lower train.batch_size") from error
    except RuntimeError as error:
        text = str(error)
        # CUDA says the first, PyTorch's allocator on the CPU the second.
        if "out of memory" in text or "can't allocate memory" in text:
            raise TrainingError(
                "the device's memory ran out", hint="Lower train.batch_size"
            ) from error
        raise
