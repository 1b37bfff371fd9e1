"""How large an image may be before it is refused: settings, read from the environment.

A training reads thousands of files that nobody has looked at; one absurd header must not take the
machine's memory with it.

========================  ===========  =====================================================
variable                  default      refuses
========================  ===========  =====================================================
``EOSIN_MAX_PIXELS``      50,000,000   an image of more pixels (width × height): it is a slide
``EOSIN_MAX_CHANNELS``    32           a file of more channels
``EOSIN_MAX_BYTES``       512 MiB      an image of more bytes once it is unpacked; a gzipped idx
                                       file or a row of chunks of an h5 file, unpacked as a whole;
                                       a larger file of one image
========================  ===========  =====================================================

With the defaults a process stays below 1.5 GB whatever single files come: decoding and measuring
take up to three times an image's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eosin.core.errors import ImageError
from eosin.core.places import read_setting

PIXELS_VARIABLE = "EOSIN_MAX_PIXELS"
CHANNELS_VARIABLE = "EOSIN_MAX_CHANNELS"
BYTES_VARIABLE = "EOSIN_MAX_BYTES"
#: Pages of a file that are looked through for the one that is no smaller copy of another.
MAX_PAGES = 1000
#: Pixels; more rows than that take more memory than their pixels.
_LONGEST_SIDE = 500_000
#: So many images are no strain, however small the file that claims to hold them.
_FEW_IMAGES = 4096


@dataclass(frozen=True)
class Limits:
    """What is read at most.

    Attributes:
        max_pixels: Width × height.
        max_channels: Channels of one image.
        max_bytes: Memory that reading one image takes.
    """

    max_pixels: int = 50_000_000
    max_channels: int = 32
    max_bytes: int = 512 * 1024**2

    def check_size(self, path: Path, width: int, height: int) -> None:
        """Refuse an image that is too large, or has no pixels.

        Raises:
            ImageError: It is.
        """
        if width < 1 or height < 1:
            raise ImageError(f"{path} has no pixels")
        if max(width, height) > _LONGEST_SIDE:
            raise ImageError(
                f"{path} has {width} × {height} pixels; at most {_LONGEST_SIDE} a side are read"
            )
        if width * height > self.max_pixels:
            raise ImageError(
                f"{path} has {width} × {height} pixels; at most {self.max_pixels} are read "
                f"({PIXELS_VARIABLE} sets this)"
            )

    def check_channels(self, path: Path, n_channels: int) -> None:
        """Refuse a file with too many channels.

        Raises:
            ImageError: It has.
        """
        if n_channels > self.max_channels:
            raise ImageError(
                f"{path} has {n_channels} channels; at most {self.max_channels} are read "
                f"({CHANNELS_VARIABLE} sets this)"
            )

    def check_bytes(self, path: Path, n_bytes: int) -> None:
        """Refuse what would take too much memory to be unpacked.

        Raises:
            ImageError: It would.
        """
        if n_bytes > self.max_bytes:
            raise ImageError(
                f"{path} unpacks to {n_bytes} bytes; at most {self.max_bytes} are read "
                f"({BYTES_VARIABLE} sets this)"
            )

    def check_file(self, path: Path, n_bytes: int) -> None:
        """Refuse a file that is larger than any image in it may be.

        Raises:
            ImageError: It is.
        """
        if n_bytes > self.max_bytes:
            raise ImageError(
                f"{path} has {n_bytes} bytes; at most {self.max_bytes} are read "
                f"({BYTES_VARIABLE} sets this)"
            )


def check_count(path: Path, count: int) -> None:
    """Refuse a container that says it holds more images than it has bytes.

    Raises:
        ImageError: It does.
    """
    size = path.stat().st_size
    if count > max(size, _FEW_IMAGES):
        raise ImageError(f"{path} is damaged: {size:,} bytes cannot hold {count:,} images")


def read_limits() -> Limits:
    """Return the limits that the environment sets, or the defaults.

    Raises:
        UsageError: A variable holds no positive whole number.
    """
    return Limits(
        max_pixels=read_setting(PIXELS_VARIABLE, Limits.max_pixels),
        max_channels=read_setting(CHANNELS_VARIABLE, Limits.max_channels),
        max_bytes=read_setting(BYTES_VARIABLE, Limits.max_bytes),
    )
