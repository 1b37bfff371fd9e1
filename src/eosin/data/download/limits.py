"""How much an archive may unpack to, and where its members may lie.

An archive from the network is a stranger's: its names may point outside the folder, its few bytes
may inflate to fill the disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eosin.core.errors import DataError
from eosin.data.download.amounts import tell_bytes

_DRIVE = re.compile(r"[A-Za-z]:")
#: Below this nothing is a bomb, whatever its ratio: text packs well.
_HARMLESS_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class UnpackLimits:
    """What an archive may unpack to.

    Attributes:
        files: Members, folders among them.
        bytes: All members together.
        ratio: Unpacked bytes for each packed byte, looked at from 64 MiB on. Images hardly pack.
    """

    files: int = 1_000_000
    bytes: int = 200 * 10**9
    ratio: float = 100.0


class Allowance:
    """What is left of the limits while one archive is unpacked.

    Args:
        archive: The archive.
        limits: What it may unpack to.
    """

    def __init__(self, archive: Path, limits: UnpackLimits) -> None:
        self.archive = archive
        self.limits = limits
        packed = archive.stat().st_size
        self._most_bytes = min(limits.bytes, max(_HARMLESS_BYTES, int(packed * limits.ratio)))
        self._files = 0
        self._bytes = 0

    def count_file(self) -> None:
        """Count one member.

        Raises:
            DataError: There are too many.
        """
        self._files += 1
        if self._files > self.limits.files:
            raise self.refuse(f"holds more than {self.limits.files:,} files")

    def count_bytes(self, count: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            DataError: They are too many.
        """
        self.check_bytes(self._bytes + count)
        self._bytes += count

    def check_bytes(self, total: int) -> None:
        """Refuse an archive that would unpack to ``total`` bytes, if that is too much.

        Raises:
            DataError: It is too much.
        """
        if total > self._most_bytes:
            raise self.refuse(
                f"would unpack to more than {tell_bytes(self._most_bytes)} from "
                f"{tell_bytes(self.archive.stat().st_size)}"
            )

    def refuse(self, fault: str) -> DataError:
        """Return the error for an archive that is not unpacked."""
        return DataError(
            f"the archive {self.archive} {fault}: it was not unpacked",
            mend="Nothing of it was kept; delete it, and tell those who serve it",
        )

    def place(self, name: str) -> PurePosixPath:
        """Return the relative path of a member.

        Args:
            name: As the archive has it; backslashes count as slashes, as they do on Windows.

        Raises:
            DataError: It would lie outside the folder, or is no path at all.
        """
        path = PurePosixPath(name.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise self.refuse(f"has a member outside its folder, {name!r},")
        if any(_DRIVE.match(part) for part in path.parts):
            raise self.refuse(f"has a member outside its folder, {name!r},")
        return path
