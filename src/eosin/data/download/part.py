"""The file under way: ``NAME.part``, and beside it what is known of where it comes from.

Without that note nobody could tell whether a part belongs to the file that the server has today,
so a part without one is thrown away.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from eosin.core.errors import ArtifactError
from eosin.core.files import read_json, write_json


@dataclass(frozen=True)
class Origin:
    """What a server said of the file that a part belongs to.

    Attributes:
        url: The address that was asked.
        validator: Its strong ETag, else its date of last change; empty where it gave neither.
        length: The whole file's length in bytes; None where it gave none.
    """

    url: str
    validator: str
    length: int | None


class Part:
    """A file under way.

    Args:
        target: The file that it becomes.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> Origin | None:
        """Return where the bytes come from; None where that is not known."""
        try:
            return Origin(**read_json(self._note))
        except (ArtifactError, TypeError):
            return None

    def begin(self, origin: Origin) -> None:
        """Start with no bytes from ``origin``."""
        self.discard()
        write_json(self._note, asdict(origin))
        self.path.touch()

    def discard(self) -> None:
        """Forget what has come."""
        # The bytes first: a note without bytes says nothing wrong.
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def lend(self, target: Path) -> None:
        """Give the bytes a second name, so that they are here until that one is in its place.

        Where the file system has no hard links they are moved.
        """
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(self.path)
        except OSError:
            self.path.replace(target)
