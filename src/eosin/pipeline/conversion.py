"""The verb ``convert``: from a foreign state dict to safetensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eosin.core.errors import OutputError
from eosin.core.files import check_writable, sha256_file
from eosin.runtime.unpickling import read_pickled_tensors
from eosin.training.checkpoints import save_tensors


@dataclass(frozen=True)
class Converted:
    """What ``convert`` made.

    Attributes:
        path: The safetensors file.
        n_tensors: Tensors in it.
        n_values: Numbers in them.
    """

    path: Path
    n_tensors: int
    n_values: int


def convert(file: Path, *, output: Path | None = None, licence: str | None = None) -> Converted:
    """Turn a ``.pth``, ``.pt`` or ``.ckpt`` file into safetensors, without running its code.

    Args:
        file: A state dict, or a checkpoint that holds one.
        output: The file to write; by default ``file`` with the ending ``.safetensors``.
        licence: Of the weights: it is kept with them, and told by every model that starts there.

    Raises:
        ArtifactError: The file cannot be read, or holds more than tensors.
        OutputError: The output exists, or cannot be written.
    """
    file = Path(file)
    path = Path(output) if output is not None else file.with_suffix(".safetensors")
    if path.exists():
        raise OutputError(f"{path} exists", mend="Choose another name with -o")
    check_writable(path.parent)
    tensors = read_pickled_tensors(file)
    told = {"source": file.name, "source_sha256": sha256_file(file)}
    save_tensors(path, tensors, {**told, "licence": licence} if licence else told)
    return Converted(path, len(tensors), sum(tensor.numel() for tensor in tensors.values()))
