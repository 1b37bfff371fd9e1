"""The one place that reads a file of torch's own format, and then nothing but tensors.

Such a file is a pickle, which may run whatever its author wrote into it. ``weights_only`` refuses
all but tensors and plain containers; everything else in Eosin is safetensors or JSON.
"""

from __future__ import annotations

import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from eosin.core.errors import ArtifactError
from eosin.core.files import check_file, check_unpacked

#: Under which a training's checkpoint keeps the weights beside its other state.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
#: Torch interprets a pickle's steps itself; one that is cut or changed can trip it anywhere.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    struct.error,
)


def read_pickled_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a ``.pth``, ``.pt`` or ``.ckpt`` file without running its code.

    Args:
        path: A state dict, or a checkpoint that holds one as ``state_dict`` or ``model``.

    Returns:
        Name → tensor on the CPU, in the file's order.

    Raises:
        ArtifactError: The file is absent, damaged, holds more than tensors, or no state dict.
    """
    try:
        check_file(path)
        _check_size(path)
        with warnings.catch_warnings(action="ignore"):  # of odd pickles, on stderr
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except UnpicklingError as error:
        raise ArtifactError(
            f"{path} is damaged, or holds more than tensors and plain values"
        ) from error
    except MemoryError:
        raise ArtifactError(f"{path} needs more memory than is free") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        # Torch's own words may propose to switch weights_only off.
        raise ArtifactError(
            f"{path} is damaged, or torch.save did not write it ({type(error).__name__})"
        ) from error
    return _find_tensors(path, content)


def _check_size(path: Path) -> None:
    """Refuse an archive that would unpack to a size out of proportion to its own."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        n_bytes = sum(member.file_size for member in archive.infolist())
    try:
        check_unpacked(path, n_bytes)
    except ValueError as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None


def _find_tensors(path: Path, content: Any) -> dict[str, torch.Tensor]:
    if isinstance(content, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), Mapping):
                content = content[wrapper]
                break
        tensors = {
            key: value
            for key, value in content.items()
            if isinstance(key, str) and isinstance(value, torch.Tensor)
        }
        if tensors and len(tensors) == len(content):
            return tensors
    raise ArtifactError(f"{path} holds no state dict: names with a tensor each")
