"""The indexes of uploaded data sets, as the store keeps them, with the latest ones in memory.

An index never changes, so a data set's id is all that a cached one needs.
"""

import json
import threading
from collections import OrderedDict

from app.record.tables import Dataset
from app.store.objects import Store
from negmerge.data.archives import Index

MAX_SAMPLES = 200_000
"""Samples of all cached indexes together: some tens of megabytes."""


def read_index(store: Store, key: str) -> Index:
    """The index that lies under the key. Raises StoreUnavailable."""
    return Index.from_json(json.loads(store.read(key)))


class Indexes:
    """Reads indexes from the store. Safe to use from several threads."""

    def __init__(self, store: Store, max_samples: int = MAX_SAMPLES) -> None:
        self._store = store
        self._max_samples = max_samples
        self._cached: OrderedDict[str, Index] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, dataset: Dataset) -> Index:
        """The index of a data set that was uploaded."""
        with self._lock:
            if index := self._cached.get(dataset.id):
                self._cached.move_to_end(dataset.id)
                return index
        index = read_index(self._store, dataset.index_key or "")
        with self._lock:
            self._cached[dataset.id] = index
            while sum(len(each.samples) for each in self._cached.values()) > self._max_samples:
                self._cached.popitem(last=False)
        return index
