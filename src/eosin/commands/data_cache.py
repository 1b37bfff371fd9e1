"""Command ``data cache``: list and clear decoded images and finished stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eosin.core.text import mebibytes, quantity
from eosin.experiment.stage_store import Kept, clear_stages, list_stages, stages_folder
from eosin.images.cache import StoreInfo, clear_stores, list_stores
from eosin.images.cache.folders import stores_folder


@dataclass(frozen=True)
class CacheResult:
    """Result of ``data cache``.

    Attributes:
        stores: Stores of decoded images, most recently used first; if cleared, the removed ones.
        stages: Finished stages of transfer chains; if cleared, the removed ones.
        in_use: If cleared, the stores that another process has open, which were kept.
        cleared: True if the cache was cleared.
    """

    stores: Sequence[StoreInfo]
    stages: Sequence[Kept]
    in_use: Sequence[StoreInfo] = ()
    cleared: bool = False


def cache(*, clear: bool = False) -> CacheResult:
    """List the cached images and finished stages, or remove them.

    Args:
        clear: Remove the image stores that no process has open, and all finished stages.

    Raises:
        OutputError: They cannot be removed.
    """
    if not clear:
        return CacheResult(list_stores(), list_stages())
    gone = clear_stores()
    return CacheResult(gone.removed, clear_stages(), gone.in_use, cleared=True)


def cache_document(found: CacheResult) -> Any:
    """Return what is cached as JSON values, or what was removed, freed and kept."""
    listed = [*_describe(found.stores), *_describe_stages(found.stages)]
    if not found.cleared:
        return listed
    n_bytes = sum(entry["n_bytes"] for entry in listed)
    return {"removed": listed, "in_use": _describe(found.in_use), "n_bytes": n_bytes}


def format_cache(found: CacheResult) -> list[str]:
    """Return the terminal output: what is cached, or what was removed."""
    if found.cleared:
        return _format_cleared(found)
    stores, stages = found.stores, found.stages
    lines = [line for store in stores for line in _format_store(store)]
    total = sum(store.n_bytes for store in stores)
    lines.append(
        f"{quantity(len(stores), 'store')}, {mebibytes(total, 1)} in {stores_folder(None)}"
    )
    if stages:
        lines.append(f"{_format_stages(stages)} in {stages_folder()}")
    return lines


def _format_cleared(found: CacheResult) -> list[str]:
    n_bytes = sum(store.n_bytes for store in found.stores)
    return [
        f"removed {quantity(len(found.stores), 'store')}, {mebibytes(n_bytes, 1)}",
        *([f"removed {_format_stages(found.stages)}"] if found.stages else []),
        *(f"kept because another process is using it: {_title(one)}" for one in found.in_use),
    ]


def _describe(stores: Sequence[StoreInfo]) -> list[dict[str, Any]]:
    return [
        {
            "kind": "images",
            "folder": str(store.folder),
            "root": store.root,
            "shape": store.shape,
            "dtype": store.dtype,
            "reading": dict(store.reading),
            "n_images": store.n_images,
            "n_bytes": store.n_bytes,
            "last_use": store.last_use.isoformat(timespec="seconds"),
        }
        for store in stores
    ]


def _describe_stages(stages: Sequence[Kept]) -> list[dict[str, Any]]:
    return [
        {"kind": "stage", "folder": str(stage.folder), "n_bytes": stage.n_bytes} for stage in stages
    ]


def _format_stages(stages: Sequence[Kept]) -> str:
    total = sum(stage.n_bytes for stage in stages)
    return f"{quantity(len(stages), 'training stage')}, {mebibytes(total, 1)}"


def _format_store(store: StoreInfo) -> list[str]:
    used = f"{store.last_use:%Y-%m-%d %H:%M} UTC"
    facts = [
        quantity(store.n_images, "image"),
        *_format_settings(store),
        mebibytes(store.n_bytes, 1),
    ]
    return [_title(store), f"  {', '.join(facts)}, last used {used}"]


def _format_settings(store: StoreInfo) -> list[str]:
    if store.shape is None:
        return []
    kind = f"{' × '.join(map(str, store.shape))} {store.dtype}"
    # Unset options are left out; --json has all.
    shown = [f"{name} {value}" for name, value in store.reading.items() if value is not None]
    return [kind, *shown]


def _title(store: StoreInfo) -> str:
    if store.root is None:
        return f"{store.folder} (damaged)"
    return store.root or "files on several drives"
