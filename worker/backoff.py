"""How long a worker waits before it looks for work again: longer and longer while its machine lacks something."""

from app.record.retries import doubled


class Backoff:
    """Begins with ``first`` seconds, doubles with each failure in a row, up to a minute; a success ends the row."""

    def __init__(self, first: float) -> None:
        self._first = first
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1

    def succeeded(self) -> None:
        self._failures = 0

    @property
    def seconds(self) -> float:
        """What to wait now."""
        return max(self._first, doubled(self._first, max(self._failures, 1)))
