"""Command ``convert``: foreign state dicts, or the NumPy engine's npz, to safetensors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from eosin.artifacts.weights import to_twin, write_arrays
from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import check_file, check_writable, sha256_file
from eosin.engine.weights import read_weights


@dataclass(frozen=True)
class Converted:
    """Result of ``convert``.

    Attributes:
        path: The safetensors file.
        n_tensors: Number of tensors.
        n_values: Number of values in all tensors.
    """

    path: Path
    n_tensors: int
    n_values: int


def convert(
    file: Path | str, *, output: Path | str | None = None, licence: str | None = None
) -> Converted:
    """Convert a ``.pth``, ``.pt`` or ``.ckpt`` file to safetensors, without running its code.

    Args:
        file: State dict, or checkpoint with one; or the ``.npz`` of a network of the
            NumPy engine, which becomes the weights of its PyTorch counterpart.
        output: File to write; by default ``file`` with the ending ``.safetensors``.
        licence: Licence of the weights, stored with them and with every model initialised from
            them.

    Raises:
        ArtifactError: The file cannot be read, or contains more than tensors.
        OutputError: The output exists, or cannot be written.
    """
    file = Path(file)
    try:
        check_file(file)
    except FileNotFoundError:
        raise ArtifactError(f"{file} does not exist") from None
    except OSError as error:
        raise ArtifactError(f"{file} cannot be read: {error.strerror}") from error
    path = Path(output) if output is not None else file.with_suffix(".safetensors")
    if os.path.lexists(path):
        raise OutputError(f"{path} already exists", hint="Choose another name with -o")
    check_writable(path.parent)
    shown = {"source": file.name, **({"licence": licence} if licence else {})}
    if file.suffix == ".npz":
        arrays = to_twin(read_weights(file))
        write_arrays(path, arrays, {**shown, "source_sha256": sha256_file(file)})
        return Converted(path, len(arrays), sum(array.size for array in arrays.values()))
    # Imported here: without PyTorch there is no such file to convert.
    from eosin.runtime.unpickling import read_pickled_tensors
    from eosin.training.checkpoints import save_tensors

    tensors = read_pickled_tensors(file)
    save_tensors(path, tensors, {**shown, "source_sha256": sha256_file(file)})
    return Converted(path, len(tensors), sum(tensor.numel() for tensor in tensors.values()))
