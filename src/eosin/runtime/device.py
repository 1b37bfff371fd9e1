"""Device, precision and random seeds of torch."""

from __future__ import annotations

import threading

import torch

from eosin.core.errors import RecipeError
from eosin.core.seeding import derive_seed
from eosin.core.threads import thread_limit
from eosin.core.types import DeviceSettings

#: Torch's generators belong to the process: a thread that seeds them holds this until it has drawn.
DRAWING = threading.RLock()


def choose_device_settings(device: str, precision: str, threads: int | None) -> DeviceSettings:
    """Choose the device and the precision.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto``, ``32-true``, ``bf16-mixed`` or ``16-mixed``; on a CPU the last is
            the one before.
        threads: CPU threads, which `--threads` overrides; torch's own choice by default. Applied to
            the process.

    Raises:
        RecipeError: The requested device is not available.
    """
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    chosen = device
    if device == "auto":
        chosen = next(name for name in ("cuda", "mps", "cpu") if available[name])
    elif not available[device]:
        there = ", ".join(name for name, present in available.items() if present)
        raise RecipeError(
            f"'train.device' is {device!r}, which this machine does not have",
            hint=f"Available: {there}, or auto",
        )
    threads = thread_limit() or threads
    if threads is not None:
        torch.set_num_threads(threads)
    if chosen == "cpu" and precision == "16-mixed":
        precision = "bf16-mixed"  # float16 overflows and is no faster there
    if precision == "auto":
        precision = "bf16-mixed" if _has_fast_bf16(chosen) else "32-true"
    return DeviceSettings(chosen, precision, _describe(chosen))


def autocast(device_settings: DeviceSettings) -> torch.autocast:
    """Return the autocast context of a precision."""
    kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
    kind = kinds.get(device_settings.precision)
    return torch.autocast(device_settings.accelerator, kind, enabled=kind is not None)


def _has_fast_bf16(device: str) -> bool:
    # On CPUs with bfloat16 it speeds up the plain networks and slows down the deep ones:
    # benchmarks/train_modes.
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _describe(device: str) -> str:
    if device == "cuda":
        return f"cuda ({torch.cuda.get_device_name()})"
    return f"cpu ({torch.get_num_threads()} threads)" if device == "cpu" else device


def seed_torch(seed: int, *keys: str | int) -> None:
    """Seed torch's global generators for one named use of the run's seed."""
    derived = derive_seed(seed, *keys)
    # torch.manual_seed asks every kind of device that there might be: half a millisecond a step.
    torch.default_generator.manual_seed(derived)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(derived)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(derived)
