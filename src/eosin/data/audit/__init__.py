"""Leak audit of a split, and duplicates within a table."""

from eosin.data.audit.audit import audit_external, audit_samples, audit_stage, merge_audits
from eosin.data.audit.image_index import ImageIndex, Match, NearDuplicates, find_near_duplicates
from eosin.data.audit.near_duplicates import sketch, to_grey
from eosin.data.audit.repair import describe_repair, join_groups, list_joined
from eosin.images.hashes import FileHash, FileHashes, fingerprint, hash_files

__all__ = [
    "FileHash",
    "FileHashes",
    "ImageIndex",
    "Match",
    "NearDuplicates",
    "audit_external",
    "audit_samples",
    "audit_stage",
    "describe_repair",
    "find_near_duplicates",
    "fingerprint",
    "hash_files",
    "join_groups",
    "list_joined",
    "merge_audits",
    "sketch",
    "to_grey",
]
