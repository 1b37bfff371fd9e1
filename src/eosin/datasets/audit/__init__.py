"""The leak audit: what stands on both sides of a split, and what is in the table twice."""

from eosin.datasets.audit.hashes import FileHash, FileHashes, fingerprint, hash_files
from eosin.datasets.audit.inspection import audit_samples, merge_audits
from eosin.datasets.audit.stages import audit_stage

__all__ = [
    "FileHash",
    "FileHashes",
    "audit_samples",
    "audit_stage",
    "fingerprint",
    "hash_files",
    "merge_audits",
]
