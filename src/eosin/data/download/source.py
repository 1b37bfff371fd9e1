"""Where a public data set comes from and under which terms; ``fetched.json``: what was fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eosin.artifacts.versioned import Document, VersionedDocument, read_document, write_document
from eosin.core.errors import ArtifactError
from eosin.core.registry import Registry

#: Functions of hashlib that publishers use. MD5 guards against accidents, not against forgers.
ALGORITHMS = ("sha256", "sha512", "sha1", "md5")
#: The ledger's name in the folder of a data set.
FETCHED = "fetched.json"
#: Stands for a checksum where none is published.
ON_FIRST_DOWNLOAD = "recorded on first download"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Attributes:
        name: What it is called in the folder of the data set.
        urls: Where it is served, mirrors after the original; http or https.
        size: Its published size in bytes; None where none is published.
        checksum: Its published checksum as ``algorithm:hexadecimal``; None where none is published.
        unpack: Whether it is an archive (zip, tar, tar.gz) or a compressed file (gz) to unpack.
        unpacked_bytes: What it takes when unpacked, about; None where that is not known.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    checksum: str | None = None
    unpack: bool = False
    unpacked_bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.urls or not all(url.startswith(("https://", "http://")) for url in self.urls):
            raise ValueError(f"{self.name} wants addresses of http or https, got {self.urls}")
        if self.checksum is not None and self.checksum.partition(":")[0] not in ALGORITHMS:
            raise ValueError(f"{self.name} wants algorithm:hexadecimal, got {self.checksum!r}")


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        name: The registered name of its adapter, where there is one.
        title: Full name.
        homepage: Where its makers describe it.
        licence: Its terms, as its makers or the copy state them.
        citation: Whom to cite.
        unpacks_to: What lies in the folder afterwards.
        files: What is fetched; empty where it cannot be had without an account or by this command.
        preparation: What must be done before an adapter reads it; empty where it is read as it is.
        obstacle: Why it cannot be fetched, for a data set without files.
        instruction: How to get it by hand, for a data set without files.
    """

    name: str
    title: str
    homepage: str
    licence: str
    citation: str
    unpacks_to: str
    files: tuple[RemoteFile, ...] = ()
    preparation: str = ""
    obstacle: str = ""
    instruction: str = ""

    def __post_init__(self) -> None:
        if not self.files and not (self.obstacle and self.instruction):
            raise ValueError(f"{self.name} wants files, or an obstacle and an instruction")

    @property
    def least_bytes(self) -> int:
        """What is downloaded at least: the published sizes together."""
        return sum(file.size or 0 for file in self.files)

    @property
    def all_sized(self) -> bool:
        """Whether every file's size is published."""
        return all(file.size is not None for file in self.files)


SOURCES: Registry[Source] = Registry("public data set")


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
