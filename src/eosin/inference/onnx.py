"""ONNX Runtime behind a model folder; the only file that imports it.

Its telemetry is switched off before any part of Eosin is imported (``core.offline``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eosin.artifacts.model import ModelInfo
from eosin.core.errors import ArtifactError
from eosin.core.types import FloatArray


class OnnxNetwork:
    """``model.onnx`` in ONNX Runtime: ``images`` (N, C, H, W) float32 → ``logits`` (N, K).

    Args:
        path: The ONNX file.
        threads: Threads inside an operator; ONNX Runtime's own choice by default.

    Attributes:
        engine: Name and version of the library.

    Raises:
        ArtifactError: The file is absent or does not load.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        import onnxruntime  # slow to import and not needed to read a folder

        if not path.exists():
            raise ArtifactError(f"{path} does not exist", mend="Train again, or copy the folder")
        self.engine = f"ONNX Runtime {onnxruntime.__version__}"
        self._path = path
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base class
            raise ArtifactError(f"{path} does not load in ONNX Runtime: {error}") from error

    def check_shape(self, info: ModelInfo) -> None:
        """Compare the file's inputs and outputs, where their sizes are fixed, with ``model.json``.

        Raises:
            ArtifactError: They differ; the message names both.
        """
        expected = {
            "images": ("N", len(info.preprocessing.channels), *info.preprocessing.input_px),
            "logits": ("N", len(info.class_names)),
        }
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        found = {value.name: tuple(value.shape) for value in values}
        for name, shape in expected.items():
            if name not in found or not _fits(found[name], shape):
                here = _shape_text(found[name]) if name in found else "absent"
                raise ArtifactError(
                    f"{self._path} is the network of another model: `{name}` is {here}, but "
                    f"model.json needs {_shape_text(shape)}",
                    mend="Copy the whole model folder again from where it was made",
                )

    def run(self, images: FloatArray) -> FloatArray:
        """Return the logits (N, K) of prepared images (N, C, H, W)."""
        (logits,) = self._session.run(["logits"], {"images": images})
        return np.asarray(logits)


def _fits(found: tuple[int | str | None, ...], expected: tuple[int | str, ...]) -> bool:
    """Return whether two shapes agree wherever both have a number."""
    return len(found) == len(expected) and all(
        mine == other or not (isinstance(mine, int) and isinstance(other, int))
        for mine, other in zip(found, expected, strict=True)
    )


def _shape_text(shape: tuple[int | str | None, ...]) -> str:
    return f"({', '.join('N' if size is None else str(size) for size in shape)})"
