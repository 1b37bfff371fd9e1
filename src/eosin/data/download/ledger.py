"""``fetched.json``: what was fetched from where, its sums, and the terms that were accepted."""

from __future__ import annotations

from pathlib import Path

from eosin.artifacts.versioned import Document, VersionedDocument, read_document, write_document
from eosin.core.errors import ArtifactError
from eosin.data.download.source import Source

#: The ledger's name in the folder of a data set.
FETCHED = "fetched.json"
#: Stands for a checksum where none is published.
ON_FIRST_DOWNLOAD = "recorded on first download"


class Unpacked(Document):
    """What came out of an archive.

    Attributes:
        name: The file or folder in the data set's folder.
        files: How many files.
        bytes: How many bytes in all.
        sha256: Of the file; of a folder, over the sorted lines ``<sha256>  <path>``.
    """

    name: str
    files: int
    bytes: int
    sha256: str


class FetchedFile(Document):
    """One file.

    Attributes:
        name: Its name.
        url: The address that served it.
        bytes: Its size.
        sha256: Computed here.
        checksum: The published one that it was held against, or that none is published.
        fetched: When, UTC.
        unpacked: What came out of it; null for what is used as it is.
    """

    name: str
    url: str
    bytes: int
    sha256: str
    checksum: str
    fetched: str
    unpacked: Unpacked | None = None


class Ledger(VersionedDocument):
    """The whole record.

    Attributes:
        dataset: The data set's name.
        licence: The terms as they were shown.
        citation: Whom to cite.
        licence_accepted: When the terms were accepted, UTC.
        files: What has been fetched.
    """

    dataset: str
    licence: str
    citation: str
    licence_accepted: str
    files: tuple[FetchedFile, ...] = ()

    def find(self, name: str) -> FetchedFile | None:
        """Return what is recorded of a file."""
        return next((file for file in self.files if file.name == name), None)

    def record(self, file: FetchedFile) -> Ledger:
        """Return the ledger with ``file`` in place of what was recorded of it."""
        others = tuple(other for other in self.files if other.name != file.name)
        return self.model_copy(update={"files": (*others, file)})


def read_ledger(folder: Path, source: Source) -> Ledger | None:
    """Return the record of a folder; None where it has none.

    Raises:
        ArtifactError: It cannot be read, or is another data set's.
    """
    path = folder / FETCHED
    if not path.exists():
        return None
    ledger = read_document(path, Ledger)
    if ledger.dataset != source.name:
        raise ArtifactError(
            f"{folder} holds the data set {ledger.dataset!r}, not {source.name!r}",
            mend="Choose another folder with -o",
        )
    return ledger


def write_ledger(folder: Path, ledger: Ledger) -> None:
    """Write the record, whole or not at all."""
    write_document(folder / FETCHED, ledger)
