"""Sources of public data sets with their terms, and ``fetched.json``, the record of a download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eosin.artifacts.versioned import Document, VersionedDocument, read_document, write_document
from eosin.core.errors import ArtifactError
from eosin.core.registry import Registry

#: Functions of hashlib that publishers use. MD5 guards against accidents, not against forgers.
ALGORITHMS = ("sha256", "sha512", "sha1", "md5")
#: The record's name in the folder of a data set.
FETCHED = "fetched.json"
#: Stands for an unpublished checksum.
ON_FIRST_DOWNLOAD = "recorded on first download"


@dataclass(frozen=True)
class RemoteFile:
    """Downloadable file of a data set."""

    name: str  # its name in the folder of the data set
    urls: tuple[str, ...]  # addresses, mirrors after the original; http or https
    size: int | None = None  # its published size in bytes; None if unpublished
    #: Its published checksum as ``algorithm:hexadecimal``; None if unpublished.
    checksum: str | None = None
    #: True for an archive (zip, tar, tar.gz) or a compressed file (gz) to unpack.
    unpack: bool = False
    unpacked_bytes: int | None = None  # its approximate size when unpacked; None if unknown

    def __post_init__(self) -> None:
        if not self.urls or not all(url.startswith(("https://", "http://")) for url in self.urls):
            raise ValueError(f"{self.name} wants addresses of http or https, got {self.urls}")
        if self.checksum is not None and self.checksum.partition(":")[0] not in ALGORITHMS:
            raise ValueError(f"{self.name} wants algorithm:hexadecimal, got {self.checksum!r}")


@dataclass(frozen=True)
class Source:
    """Source of a data set."""

    name: str  # the registered name of the data set, if there is one
    title: str
    homepage: str  # where its authors describe it
    licence: str  # its terms, as its authors or the copy state them
    citation: str
    unpacks_to: str  # what lies in the folder afterwards
    #: Files to fetch; empty if it needs an account or another program.
    files: tuple[RemoteFile, ...] = ()
    preparation: str = ""  # steps before the data set can be read; empty if there are none
    obstacle: str = ""  # why it cannot be fetched, for a data set without files
    instruction: str = ""  # how to get it by hand, for a data set without files

    def __post_init__(self) -> None:
        if not self.files and not (self.obstacle and self.instruction):
            raise ValueError(f"{self.name} wants files, or an obstacle and an instruction")

    @property
    def least_bytes(self) -> int:
        """Least download size: the published sizes together."""
        return sum(file.size or 0 for file in self.files)

    @property
    def all_sized(self) -> bool:
        """True if every file's size is published."""
        return all(file.size is not None for file in self.files)


SOURCES: Registry[Source] = Registry("public data set")


class Unpacked(Document):
    """Unpacked content of an archive."""

    name: str  # the file or folder in the data set's folder
    files: int  # number of files
    bytes: int  # total size
    sha256: str  # of the file; of a folder, over the sorted lines ``<sha256>  <path>``


class FetchedFile(Document):
    """Record of one file."""

    name: str  # its name
    url: str  # the address that served it
    bytes: int  # its size
    sha256: str  # computed after the download
    checksum: str  # the published one that it was compared with, or a note that there is none
    fetched: str  # time, UTC
    unpacked: Unpacked | None = None  # content of the archive; null for a file that is not unpacked


class FetchRecord(VersionedDocument):
    """Record of a data set's download."""

    dataset: str  # the data set's name
    licence: str  # the terms as they were shown
    citation: str  # publication to cite
    licence_accepted: str  # time at which the terms were accepted, UTC
    files: tuple[FetchedFile, ...] = ()  # the fetched files

    def find(self, name: str) -> FetchedFile | None:
        """Return the record of a file."""
        return next((file for file in self.files if file.name == name), None)

    def record(self, file: FetchedFile) -> FetchRecord:
        """Return the record with ``file`` added or replaced."""
        others = tuple(other for other in self.files if other.name != file.name)
        return self.model_copy(update={"files": (*others, file)})


def read_fetch_record(folder: Path, source: Source) -> FetchRecord | None:
    """Read a folder's record, None without; raises ArtifactError if unreadable or another set's."""
    path = folder / FETCHED
    if not path.exists():
        return None
    record = read_document(path, FetchRecord)
    if record.dataset != source.name:
        raise ArtifactError(
            f"{folder} contains the data set {record.dataset!r}, not {source.name!r}",
            hint="Choose another folder with -o",
        )
    return record


def write_fetch_record(folder: Path, record: FetchRecord) -> None:
    """Write the record atomically."""
    write_document(folder / FETCHED, record)
