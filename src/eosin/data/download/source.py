"""Where a public data set comes from, and under which terms."""

from __future__ import annotations

from dataclasses import dataclass

from eosin.core.registry import Registry

#: Functions of hashlib that publishers use. MD5 guards against accidents, not against forgers.
ALGORITHMS = ("sha256", "sha512", "sha1", "md5")


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
