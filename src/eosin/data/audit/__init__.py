"""Leak audit of a split, and duplicates within a table."""

from eosin.data.audit.audit import audit_outside, audit_samples, audit_stage, merge_audits
from eosin.data.audit.image_index import Album, Alike, Match, find_alike
from eosin.data.audit.registration import sketch, to_grey
from eosin.data.audit.repair import (
    describe_repair,
    join_groups,
    list_joined,
)
from eosin.images.hashes import FileHash, FileHashes, fingerprint, hash_files

__all__ = [
    "Album",
    "Alike",
    "FileHash",
    "FileHashes",
    "Match",
    "audit_outside",
    "audit_samples",
    "audit_stage",
    "describe_repair",
    "find_alike",
    "fingerprint",
    "hash_files",
    "join_groups",
    "list_joined",
    "merge_audits",
    "sketch",
    "to_grey",
]
