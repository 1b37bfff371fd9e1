"""Reader of weights in torch's own format, limited to tensors.

Such a file is a pickle, which may run arbitrary code. ``weights_only`` allows tensors and plain
containers alone; all other weights in Eosin are safetensors or JSON.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from eosin.core.errors import DAMAGE, ArtifactError, is_lack_of_memory
from eosin.core.files import check_file, check_unpacked

#: Keys of the weights in a checkpoint with further state.
_WRAPPERS = ("state_dict", "model_state_dict", "model")


def read_pickled_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a ``.pth``, ``.pt`` or ``.ckpt`` file without running its code.

    The file is a state dict, or a checkpoint with one as ``state_dict`` or ``model``. Returns
    name → tensor on the CPU, in the file's order.

    Raises:
        ArtifactError: The file is absent, damaged, has more than tensors, or no state dict.
    """
    try:
        check_file(path)
        _check_size(path)
        with warnings.catch_warnings(action="ignore"):  # on unusual pickles
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except UnpicklingError as error:
        raise ArtifactError(
            f"{path} is damaged, or contains more than tensors and plain values"
        ) from error
    except MemoryError:
        raise ArtifactError(f"{path} needs more memory than is free") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from error
    except (*DAMAGE, RuntimeError) as error:
        # Torch's own message may advise to disable weights_only.
        raise ArtifactError(
            f"{path} is damaged, or torch.save did not write it ({type(error).__name__})"
        ) from error
    return _find_tensors(path, content)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of tensors and plain values that :func:`torch.save` wrote, onto the CPU.

    Raises:
        Exception: The file is damaged, or holds more; torch raises almost anything.
    """
    check_file(path)
    with zipfile.ZipFile(path) as archive:
        # Torch's reader compares no checksums: flipped bits would be trained on.
        if archive.testzip() is not None:
            raise zipfile.BadZipFile("a checksum differs")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except RuntimeError as error:
        if is_lack_of_memory(error):
            raise
        raise ValueError(str(error)) from error
    return content


def _check_size(path: Path) -> None:
    """Reject an archive whose unpacked size is out of proportion to the file."""
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
    raise ArtifactError(f"{path} contains no state dict: names with a tensor each")
