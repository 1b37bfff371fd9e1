"""Checkpoints: weights as safetensors, so that nothing is unpickled, and random states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

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
