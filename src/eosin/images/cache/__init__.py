"""Cache of decoded and resized images, in a file that is read in batches.

A store holds the images of one data folder under one set of settings: ``pixels-<token>.bin`` (one
row an image, only ever appended to), ``index.parquet`` (which file has which row, replaced as a
whole) and ``store.json`` (what the store is). The index names only rows that are on the disk, so a
process that is killed loses at most what it read since the index was last written.
"""

from eosin.images.cache.filling import fill_store
from eosin.images.cache.folders import ELSEWHERE, StoreInfo, clear_stores, list_stores
from eosin.images.cache.index import Entry, Item, StoreSettings
from eosin.images.cache.store import ImageStore

__all__ = [
    "ELSEWHERE",
    "Entry",
    "ImageStore",
    "Item",
    "StoreInfo",
    "StoreSettings",
    "clear_stores",
    "fill_store",
    "list_stores",
]
