"""Command ``data cache``: list and clear decoded images and finished stages."""

from __future__ import annotations

import json
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


def format_cache(found: CacheResult, *, as_json: bool = False) -> list[str]:
    """Return the terminal output; with ``as_json`` one line of JSON."""
    if found.cleared:
        return _format_cleared(found, as_json=as_json)
    stores, stages = found.stores, found.stages
    if as_json:
        return [json.dumps([*_describe(stores), *_describe_stages(stages)])]
    lines = [line for store in stores for line in _format_store(store)]
    total = sum(store.n_bytes for store in stores)
    lines.append(
        f"{quantity(len(stores), 'store')}, {mebibytes(total, 1)} in {stores_folder(None)}"
    )
    if stages:
        lines.append(f"{_format_stages(stages)} in {stages_folder()}")
    return lines


def _format_cleared(found: CacheResult, *, as_json: bool) -> list[str]:
    """Return what was freed, and what is still in use; or one line of JSON."""
    n_bytes = sum(store.n_bytes for store in found.stores)
    if as_json:
        removed = [*_describe(found.stores), *_describe_stages(found.stages)]
        in_all = n_bytes + sum(stage.n_bytes for stage in found.stages)
        in_use = _describe(found.in_use)
        return [json.dumps({"removed": removed, "in_use": in_use, "n_bytes": in_all})]
    kept = [_title(store) for store in found.in_use]
    return [
        f"removed {quantity(len(found.stores), 'store')}, {mebibytes(n_bytes, 1)} freed",
        *([f"removed {_format_stages(found.stages)} freed"] if found.stages else []),
        *(f"kept, as another process has it open: {title}" for title in kept),
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
    many = quantity(len(stages), "finished stage")
    return f"{many} of transfer, {mebibytes(total, 1)}"


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
