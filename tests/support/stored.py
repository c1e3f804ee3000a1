"""Small objects for tests of a store."""

import tempfile
from pathlib import Path

from app.store.objects import Store


def put(store: Store, key: str, content: bytes) -> None:
    """Store these bytes, by way of a file as everything goes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "object"
        path.write_bytes(content)
        store.put_file(key, path)
