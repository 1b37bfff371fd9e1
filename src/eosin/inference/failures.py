"""Failures of single images: whatever goes wrong with one is listed, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eosin.core.errors import EosinError, ImageError


@contextmanager
def isolated(cell: object) -> Iterator[None]:
    """Turn any failure of the work on one image into an ImageError, which callers list.

    Args:
        cell: The image's file or path cell, for the message.

    Raises:
        ImageError: In place of any exception but Eosin's own and ``MemoryError``.
    """
    try:
        yield
    except (EosinError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{cell} cannot be processed: {_describe(error)}") from error


def _describe(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
