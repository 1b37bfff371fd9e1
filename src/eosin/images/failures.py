"""Failures of single images: whatever goes wrong with one is listed, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eosin.core.errors import EosinError, ImageError
from eosin.images.memory import release_memory, watch_memory


@contextmanager
def isolated(cell: object) -> Iterator[None]:
    """Turn any failure of the work on one image into an ImageError, which callers list.

    Lack of memory is the image's, too: a smaller one may still fit. The memory that decoders
    reserve inside (:mod:`eosin.images.memory`) is released at the end.

    Args:
        cell: The image's file or path cell, for the message.

    Raises:
        ImageError: In place of any exception but Eosin's own.
    """
    watch_memory()
    try:
        yield
    except EosinError:
        raise
    except MemoryError:
        raise ImageError(f"{cell} cannot be processed: it needs more memory than is free") from None
    except Exception as error:
        raise ImageError(f"{cell} cannot be processed: {_describe(error)}") from error
    finally:
        release_memory()


def _describe(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
