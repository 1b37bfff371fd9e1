"""ONNX Runtime for a model folder; the only file that imports it.

Its telemetry is switched off before any part of Eosin is imported (``core.places``). Its log is
silenced: the cause of a failure is in the error.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from eosin.artifacts.model import ModelInfo
from eosin.core.errors import ArtifactError
from eosin.core.text import printable
from eosin.core.threads import thread_limit
from eosin.core.types import FloatArray, Image
from eosin.inference.graphs import add_outputs, check_graph

_LOG = logging.getLogger(__name__)

#: Log level above that of errors, which are raised as well.
_FATAL = 4
#: Hint for a damaged model.
COPY_AGAIN = "Copy the whole model folder again from its original"
#: Its messages if memory is short.
_NO_MEMORY = re.compile("allocate memory|bad.?alloc", re.IGNORECASE)
#: Source position in its error messages.
_SOURCE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/onnxruntime_src/\S+ [^\n]*? (?=[A-Z])")
_LONGEST = 300
_FLOAT = "tensor(float)"
_importing = Lock()


class OnnxNetwork:
    """``model.onnx`` in ONNX Runtime: ``images`` (N, C, H, W) float32 → ``logits`` (N, K).

    Args:
        path: The ONNX file.
        threads: Threads inside an operator; by default as many as `--threads` allows, else ONNX
            Runtime's own choice.
        output: Name of its output.
        also: Names of tensors inside the graph that :meth:`run_inside` returns beside the output.

    Raises:
        ArtifactError: The file is absent, does not load, or has parts that are not allowed.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        output: str = "logits",
        also: Sequence[str] = (),
    ) -> None:
        if not path.exists():
            raise ArtifactError(f"{path} does not exist", hint="Train again, or copy the folder")
        try:
            check_graph(path)
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
        threads = threads or thread_limit()
        onnxruntime = _import_library()
        self.engine = f"ONNX Runtime {onnxruntime.__version__}"
        shown = "its own choice" if threads is None else threads
        _LOG.debug(f"{printable(path)} runs in {self.engine}, threads: {shown}")
        self._path, self._output = path, output
        self._n_logits: int | None = None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        if threads is not None:
            options.intra_op_num_threads = threads
        # Threads that wait actively would take the cores of those that decode images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._also = [name for name in dict.fromkeys(also) if name != output]
        with self._explained("load"):
            source = add_outputs(path.read_bytes(), self._also) if self._also else str(path)
            self._session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )

    def check_shape(self, info: ModelInfo) -> None:
        """Compare the file's inputs and outputs with ``model.json``, sizes where they are fixed.

        Raises:
            ArtifactError: They differ; the message names both.
        """
        expected = {
            "images": ("N", len(info.preprocessing.channels), *info.preprocessing.input_px),
            "logits": ("N", len(info.class_names)),
        }
        values = [*self._session.get_inputs(), *self._session.get_outputs()]
        found = {value.name: value for value in values}
        for name, shape in expected.items():
            here = _describe(found[name]) if name in found else "absent"
            if name not in found or found[name].type != _FLOAT or not _fits(found[name], shape):
                raise ArtifactError(
                    f"{self._path} is the network of another model: `{name}` is {here}, but "
                    f"model.json needs {_shape_text(shape)}",
                    hint=COPY_AGAIN,
                )
        if len(values) > len(expected):
            other = next(value.name for value in reversed(values) if value.name not in expected)
            raise ArtifactError(
                f"{self._path} was not written by Eosin: besides images and logits it has "
                f"`{other[:_LONGEST]}`",
                hint=COPY_AGAIN,
            )
        self._n_logits = len(info.class_names)

    def run(self, images: FloatArray | Image) -> FloatArray:
        """Return the logits (N, K) of prepared images (N, C, H, W).

        Raises:
            ArtifactError: The network fails, or its output has another type or shape.
        """
        with self._explained("run"):
            (logits,) = self._session.run([self._output], {"images": images})
        found = np.asarray(logits)
        if self._n_logits is not None and found.shape != (len(images), self._n_logits):
            raise ArtifactError(
                f"{self._path} gives logits of shape {found.shape}, but model.json needs "
                f"{(len(images), self._n_logits)}",
                hint=COPY_AGAIN,
            )
        return found

    def run_inside(self, images: FloatArray) -> dict[str, FloatArray]:
        """Return the output and the tensors ``also`` for images (N, C, H, W), by name.

        Raises:
            ArtifactError: The network fails.
        """
        names = [self._output, *self._also]
        with self._explained("run"):
            found = self._session.run(names, {"images": images})
        return dict(zip(names, map(np.asarray, found), strict=True))

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Convert an ONNX Runtime error into one with a one-line cause."""
        try:
            yield
        except Exception as error:  # onnxruntime's errors share no base class
            reason = " ".join(_SOURCE.sub("", str(error)).split())
            if isinstance(error, MemoryError) or _NO_MEMORY.search(reason):
                raise ArtifactError(
                    f"{self._path} needs more memory than is free",
                    hint="Close other programs, or use a machine with more memory",
                ) from error
            raise ArtifactError(
                f"{self._path} does not {action} in ONNX Runtime: {reason[:_LONGEST]}"
            ) from error


def _import_library() -> Any:
    """Import ONNX Runtime, slow and not needed to read a folder, without its raw log lines.

    It searches for a GPU's files while it is imported, before its logger can be set.
    """
    # One thread at a time: two that each restore the descriptor could leave it silent.
    with _importing:
        if "onnxruntime" not in sys.modules:
            with _silent_stderr():
                import onnxruntime
            onnxruntime.set_default_logger_severity(_FATAL)
        # Its name is known before it is whole, where a thread of another library imports it.
        import onnxruntime
    return onnxruntime


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard what libraries write to the standard error's descriptor."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # the process has none
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _fits(found: Any, expected: tuple[int | str, ...]) -> bool:
    """Return True if two shapes agree wherever both have a number."""
    shape = tuple(found.shape or ())
    return len(shape) == len(expected) and all(
        mine == other or not (isinstance(mine, int) and isinstance(other, int))
        for mine, other in zip(shape, expected, strict=True)
    )


def _describe(found: Any) -> str:
    kind = "" if found.type == _FLOAT else f" of {found.type}"
    return f"{_shape_text(tuple(found.shape or ()))}{kind}"


def _shape_text(shape: tuple[int | str | None, ...]) -> str:
    sizes = ["N" if size is None else str(size)[:20] for size in shape[:8]]
    return f"({', '.join(sizes)})"
