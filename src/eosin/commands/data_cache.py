"""Command ``data cache``: list and clear decoded images and finished stages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from eosin.core.text import mebibytes, quantity
from eosin.experiment.stage_store import Kept, clear_stages, list_stages, stages_folder
from eosin.images.cache import Cleared, StoreInfo, clear_stores, list_stores
from eosin.images.cache.folders import stores_folder


def list_cache() -> list[StoreInfo]:
    """List the stores of decoded images, most recently used first."""
    return list_stores()


def list_kept() -> list[Kept]:
    """List the finished stages of transfer chains."""
    return list_stages()


def clear_cache() -> tuple[Cleared, list[Kept]]:
    """Remove the image stores that no process has open, and all finished stages.

    Raises:
        OutputError: They cannot be removed.
    """
    return clear_stores(), clear_stages()


def format_cache(
    stores: Sequence[StoreInfo], stages: Sequence[Kept], *, as_json: bool = False
) -> list[str]:
    """Return two lines per store, and totals; or one line of JSON, a list of objects."""
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


def format_cleared(cleared: Cleared, stages: Sequence[Kept], *, as_json: bool = False) -> list[str]:
    """Return what was freed, and what is still in use; or one line of JSON."""
    if as_json:
        removed = [*_describe(cleared.removed), *_describe_stages(stages)]
        n_bytes = cleared.n_bytes + sum(stage.n_bytes for stage in stages)
        in_use = _describe(cleared.in_use)
        return [json.dumps({"removed": removed, "in_use": in_use, "n_bytes": n_bytes})]
    kept = [_title(store) for store in cleared.in_use]
    return [
        f"removed {quantity(len(cleared.removed), 'store')}, {mebibytes(cleared.n_bytes, 1)} freed",
        *([f"removed {_format_stages(stages)} freed"] if stages else []),
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
