"""Weights on disk: safetensors only, nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import atomic_path


def save_weights(path: Path, network: nn.Module) -> None:
    """Write weights and buffers as safetensors, whole or not at all.

    Raises:
        OutputError: They cannot be written.
    """
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        try:
            save_file(state, temporary)
        except SafetensorError as error:  # its way of telling what the operating system said
            reason = str(error).rpartition("I/O error: ")[2].lower()
            mend = "Free some space, or choose another folder with -o"
            raise OutputError(
                f"could not write {path}: {reason}", mend=mend if "space" in reason else None
            ) from error


def load_weights(path: Path, network: nn.Module) -> None:
    """Read weights and buffers into a network of the same shape.

    Raises:
        ArtifactError: The file is absent, damaged, or of another network.
    """
    try:
        state: dict[str, torch.Tensor] = load_file(path)
        network.load_state_dict(state)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(f"{path} does not fit the network: {reason}") from error
