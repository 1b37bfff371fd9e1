"""Pseudonyms of patients, groups and files for data that leave the organisation.

A pseudonym is a keyed hash (HMAC-SHA-256, RFC 2104) of a kind and a value: the same key gives the
same pseudonym everywhere, and without the key it cannot be reversed by trying every value. No
table of them is stored; only the key has to be kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import re
import secrets
from pathlib import Path, PurePosixPath

from eosin.core.errors import ArtifactError, OutputError
from eosin.core.files import write_private
from eosin.core.places import expand_path, settings_folder
from eosin.core.types import ImageReference

_LOG = logging.getLogger(__name__)

#: Environment variable with the path of the key's file; default: in the user's settings.
KEY_VARIABLE = "EOSIN_PSEUDONYM_KEY"
_KEY_BYTES = 32
#: Of 5 bits each: two of 10 million images collide with a probability of 0.00004.
_LETTERS = 12
_FORM = re.compile(rf"image-[a-z2-7]{{{_LETTERS}}}(?:\.[a-z0-9]{{1,8}})?(?:#\d+)?")
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


class Pseudonyms:
    """The pseudonyms of one secret key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._meant: dict[str, tuple[str, str]] = {}

    def of(self, kind: str, value: str) -> str:
        """Return e.g. ``patient-k3f9a1c2b4d5`` for the kind ``patient``.

        Raises:
            OutputError: Another value of the kind has the same pseudonym.
        """
        digest = hmac.digest(self._key, f"{kind}\0{value}".encode(), "sha256")
        letters = base64.b32encode(digest).decode("ascii")[:_LETTERS].lower()
        pseudonym = f"{kind}-{letters}"
        if self._meant.setdefault(pseudonym, (kind, value)) != (kind, value):
            raise OutputError(f"two names of the kind {kind} have the same pseudonym {pseudonym}")
        return pseudonym

    def __contains__(self, name: str) -> bool:
        """Return True if a name, of a file or of an image in a file, was made here."""
        return ImageReference.parse(name).path.partition(".")[0] in self._meant

    def of_file(self, kind: str, path: str) -> str:
        """Return the pseudonym of a file, which keeps its suffix: ``image-k3f9a1c2b4d5.png``."""
        suffix = PurePosixPath(path).suffix.lower()
        return self.of(kind, path) + (suffix if _SUFFIX.fullmatch(suffix) else "")


def looks_like_pseudonym(cell: str) -> bool:
    """Return True if a path may be an image's pseudonym, which is independent of folders."""
    return _FORM.fullmatch(cell) is not None


def key_file() -> Path:
    """Return the key's path: ``$EOSIN_PSEUDONYM_KEY``, else in the user's settings."""
    if chosen := os.environ.get(KEY_VARIABLE):
        return expand_path(chosen)
    return settings_folder() / "pseudonym.key"


def load_pseudonyms() -> Pseudonyms:
    """Read the key, or create and announce it if there is none.

    Raises:
        ArtifactError: The key is damaged or readable by every user; it is never replaced.
        OutputError: It cannot be written.
    """
    path = key_file()
    if not path.exists():
        write_private(path, _spell(secrets.token_bytes(_KEY_BYTES)).encode())
        _LOG.info(f"created a key for pseudonyms, {path}: keep it, and keep it secret")
    return Pseudonyms(read_key(path))


def read_key(path: Path) -> bytes:
    """Read a key; raises ``ArtifactError`` if it is damaged, or every user may read it."""
    hint = "Restore a copy of it, or move it away: a new key gives other pseudonyms"
    try:
        text = path.read_text(encoding="ascii")
        is_open = os.name == "posix" and bool(path.stat().st_mode & 0o007)
        key = bytes.fromhex(text.partition(" ")[0])
    except (OSError, ValueError):
        raise ArtifactError(f"the key for pseudonyms {path} cannot be read", hint=hint) from None
    if len(key) != _KEY_BYTES or text != _spell(key):
        raise ArtifactError(f"the key for pseudonyms {path} is damaged", hint=hint)
    if is_open:
        raise ArtifactError(
            f"every user can read the key for pseudonyms {path}", hint=f"chmod 600 {path}"
        )
    return key


def _spell(key: bytes) -> str:
    """Return a key as text with a checksum, which detects lost or changed letters."""
    return f"{key.hex()} {hashlib.sha256(key).hexdigest()[:8]}\n"
