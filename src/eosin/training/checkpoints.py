"""Checkpoints: weights as safetensors, so that nothing is unpickled, and random states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.weights import explain_read_errors, explain_write_errors
from eosin.core.errors import ArtifactError
from eosin.core.files import atomic_path


def save_weights(path: Path, network: nn.Module) -> None:
    """Write weights and buffers as safetensors, atomically.

    Raises:
        OutputError: They cannot be written.
    """
    save_tensors(path, network.state_dict())


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], shown: Mapping[str, str] | None = None
) -> None:
    """Write named tensors as safetensors, atomically.

    Args:
        path: The file.
        tensors: By name.
        shown: Metadata of the file, e.g. its ``licence``.

    Raises:
        OutputError: They cannot be written.
    """
    # Two names may share memory, as tied weights do; the format needs separate copies.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    with atomic_path(path) as temporary, explain_write_errors(path):
        save_file(state, temporary, metadata=dict(shown) if shown else None)


def load_weights(path: Path, network: nn.Module) -> None:
    """Read weights and buffers into a network of the same shape.

    Raises:
        ArtifactError: The file is absent, damaged, or belongs to another network.
    """
    state = load_tensors(path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} does not fit the network: {reason}") from error


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read named tensors.

    Raises:
        ArtifactError: The file is absent or damaged.
    """
    with explain_read_errors(path):
        found: dict[str, torch.Tensor] = load_file(path)
    return found


class BestWeights:
    """The weights of the best evaluation: ``checkpoints/best-<step>.safetensors``.

    A newer file never overwrites the one that ``last.ckpt`` names: a run killed in between resumes
    from that checkpoint and needs what was best then.

    Args:
        run: Destination.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._named: int | None = None
        self.step: int | None = None

    @property
    def path(self) -> Path:
        """The file, once :attr:`step` is known."""
        return self._run.best_checkpoint(self.step or 0)

    def save(self, step: int, network: nn.Module) -> None:
        """Save the weights after ``step`` steps as the best."""
        before, self.step = self.step, step
        save_weights(self.path, network)
        if before not in {None, self._named, step}:
            self._run.best_checkpoint(before or 0).unlink(missing_ok=True)

    def restore(self, step: int | None) -> None:
        """Continue with the best weights that a checkpoint names."""
        self.step = self._named = step

    def forget_others(self) -> None:
        """Remove all but the best, which the checkpoint on disk now names."""
        self._named = self.step
        for path in self._run.checkpoints.glob("best-*.safetensors"):
            if path != self.path:
                path.unlink(missing_ok=True)


def random_state() -> dict[str, Any]:
    """Return the states of torch's global generators, which dropout draws from."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict[str, Any]) -> None:
    """Restore the states of torch's global generators."""
    torch.set_rng_state(state["cpu"].cpu())
    for device, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(one.cpu(), device)
