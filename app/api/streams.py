"""Event streams that are open in this process, counted by key: each holds a connection for as long as a job lives."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.errors import TooMany


class OpenStreams:
    """How many streams each key has open here. For one event loop, so without a lock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, key_id: str) -> Iterator[None]:
        """Count a stream while it is open. Raises TooMany."""
        if self._open[key_id] >= self._most:
            raise TooMany(f"the key {key_id} has {self._most} event streams open: close one, or ask for pages")
        self._open[key_id] += 1
        try:
            yield
        finally:
            self._open[key_id] -= 1
            self._open += Counter()  # keys without any are forgotten
