"""Training loop in PyTorch, from decoded images to the best state of a network."""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pickle import UnpicklingError
from typing import Any, cast

import torch
from torch import nn
from torch.utils.data import DataLoader

from eosin.artifacts.layout import RunFolder
from eosin.core.errors import ArtifactError, OutputError, TrainingError
from eosin.core.progress import progress_bar
from eosin.networks.freezing import freeze, hold_still
from eosin.recipe.schema import TrainSection
from eosin.runtime.device import autocast
from eosin.runtime.device_settings import DeviceSettings
from eosin.runtime.door import import_companion
from eosin.training.callbacks import EvaluationLog, LastCheckpoint, PreciseBatchNorm, StepProgress
from eosin.training.checkpoints import load_weights
from eosin.training.data import FitInputs, ImagePart, Probe, read_peak_bytes
from eosin.training.loader import Batch, InputScaling, augmented_input, make_loader
from eosin.training.loggers import RowLogs
from eosin.training.module import ClassifierModule
from eosin.training.optimisers import make_optimizer, mean_loss
from eosin.training.sampler import EpochBatches, evaluation_interval

lightning = import_companion("lightning.pytorch")


_STEPS = 8
#: Warm-up steps allocate memory and choose kernels: they are not timed.
_WARM_UP = 2


def fit(
    network: nn.Module,
    section: TrainSection,
    inputs: FitInputs,
    run: RunFolder,
    *,
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> nn.Module:
    """Train a network, resuming from ``checkpoints/last.ckpt`` if it exists.

    Args:
        network: Fresh, seeded.
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
    loader = make_loader(
        inputs.train, section.batch_size, inputs.seed, balanced=section.balance == "sampler"
    )
    batches = cast(EpochBatches, loader.sampler)
    n_batches = len(batches)
    every = evaluation_interval(n_batches, section.evaluations_per_epoch)
    module = ClassifierModule(
        network,
        section,
        inputs,
        class_weights=inputs.class_weights(section),
        evaluations=section.epochs * (n_batches // every),
        backend="inductor" if section.compile and inputs.device_settings.can_compile else None,
    )
    with progress_bar("Training") as advance, RowLogs(section.loggers, run) as logs:
        log = EvaluationLog(run, section.monitor, section.patience, on_row, logs)
        last = LastCheckpoint(log, run, batches, every, section.checkpoint_minutes)
        steps = StepProgress(advance, section.epochs * n_batches)
        callbacks = [log, last, steps]
        if section.batch_norm == "recalibrated":
            callbacks.append(PreciseBatchNorm(inputs.once, section.batch_size, inputs.seed))
        trainer = _make_trainer(section, inputs.device_settings, every, callbacks)
        _run(trainer, module, loader, make_loader(inputs.val, section.batch_size, None), run)
        logs.finish(log.rows)
    log.weights.forget_others()
    load_weights(log.weights.path, network)
    return network.cpu().eval()


def _make_trainer(
    section: TrainSection, device_settings: DeviceSettings, every: int, callbacks: list[Any]
) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lightning.Trainer(
            accelerator=device_settings.accelerator,
            devices=1,
            precision=device_settings.precision,
            max_epochs=section.epochs,
            val_check_interval=every,
            gradient_clip_val=section.clip_gradient,
            callbacks=callbacks,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


def _run(
    trainer: Any,
    module: ClassifierModule,
    train: DataLoader[Batch],
    val: DataLoader[Batch],
    run: RunFolder,
) -> None:
    resume = run.last_checkpoint if run.last_checkpoint.exists() else None
    try:
        with warnings.catch_warnings():
            # Lightning's advice on workers and loggers does not concern the user.
            warnings.simplefilter("ignore")
            trainer.fit(
                module,
                train,
                val,
                ckpt_path=resume,
                weights_only=True,
            )
    except SystemExit as stopped:
        # Lightning turns Ctrl-C into an exit and leaves the signal ignored: undo both.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from stopped
    except MemoryError as error:
        raise TrainingError("memory ran out", hint="Lower train.batch_size") from error
    except (RuntimeError, ValueError, UnpicklingError, EOFError, KeyError) as error:
        _explain_torch(error, run)
        raise


def _explain_torch(error: Exception, run: RunFolder) -> None:
    text = str(error)
    if isinstance(error, UnpicklingError | EOFError) or "PytorchStreamReader" in text:
        raise ArtifactError(
            f"{run.last_checkpoint} is damaged", hint="Remove it to begin this training anew"
        ) from error
    is_foreign = isinstance(error, KeyError) and "eosin" in text
    if is_foreign or "loading state_dict" in text:
        raise ArtifactError(
            f"{run.last_checkpoint} was written by another version of Eosin",
            hint="Go on with that version, or remove it to begin this training anew",
        ) from error
    # CUDA says the first, PyTorch's allocator on the CPU the second.
    if "out of memory" in text or "can't allocate memory" in text:
        raise TrainingError("the device's memory ran out", hint="Lower train.batch_size") from error
    if "PytorchStreamWriter" in text or "unexpected pos" in text:
        raise OutputError("a checkpoint could not be written", hint="Is the disk full?") from error


def probe_training(network: nn.Module, section: TrainSection, inputs: FitInputs) -> Probe:
    """Time a few training steps and evaluation batches, run as in the training itself.

    Args:
        network: Fresh; its weights are changed.
        section: The recipe's training section.
        inputs: Training inputs.
    """
    device = inputs.device_settings.accelerator
    network = network.to(device).train()
    cut = inputs.tuning.cut(network, 0)
    freeze(network, cut)
    hold_still(network, cut)
    optimizer = make_optimizer(network, section, inputs.tuning)
    scale = InputScaling(inputs.preprocessing).to(device)
    times = []
    is_balanced = section.balance == "sampler"
    batches = iter(make_loader(inputs.train, section.batch_size, inputs.seed, balanced=is_balanced))
    weights = torch.ones(inputs.n_classes, device=device)
    for _ in range(_STEPS):
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        images, targets, index = (tensor.to(device) for tensor in batch)
        inputs_now = augmented_input(images, scale, inputs.policy, (inputs.seed, 0), index.cpu())
        with autocast(inputs.device_settings):
            loss = mean_loss(network(inputs_now), targets, weights, section)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()  # waits for the device
        times.append(time.perf_counter() - start)
    evaluated = _time_evaluation(network.eval(), section, inputs, scale)
    kept = sorted(times[_WARM_UP:] or times)
    return Probe(kept[len(kept) // 2], evaluated, _peak_bytes(device), device == "cuda")


def _time_evaluation(
    network: nn.Module, section: TrainSection, inputs: FitInputs, scale: InputScaling
) -> float:
    """Return the time to evaluate one image, measured on a few batches."""
    loader = make_loader(_some(inputs.val, section.batch_size), section.batch_size, None)
    device = inputs.device_settings.accelerator
    n_images, start = 0, time.perf_counter()
    with torch.inference_mode(), autocast(inputs.device_settings):
        for images, _, _ in islice(loader, _STEPS):
            network(scale(images.to(device))).sum().item()
            n_images += len(images)
    return (time.perf_counter() - start) / max(n_images, 1)


def _some(part: ImagePart, batch_size: int) -> ImagePart:
    return replace(part, targets=part.targets[: _STEPS * batch_size])


def _peak_bytes(device: str) -> int | None:
    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else read_peak_bytes()
