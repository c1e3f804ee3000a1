"""How often one address may try to sign in. A key's 256 bits cannot be guessed: this spares the database."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

TRIES = 10
SECONDS = 60.0
_ADDRESSES = 10_000


class TooManyTries(Exception):
    """The address has failed too often; the message says what to do."""


class Throttle:
    """The failures of each address in the last minute, in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise TooManyTries where the address has failed too often."""
        since = self._clock() - SECONDS
        with self._lock:
            recent = sum(at > since for at in self._failures.get(address, ()))
        if recent >= TRIES:
            raise TooManyTries(f"{TRIES} failed tries within a minute: wait a minute, then sign in with a valid key")

    def failed(self, address: str) -> None:
        """Count a failure. Of many addresses those that failed longest ago are forgotten."""
        with self._lock:
            self._failures.setdefault(address, deque(maxlen=TRIES)).append(self._clock())
            self._failures.move_to_end(address)
            if len(self._failures) > _ADDRESSES:
                self._failures.popitem(last=False)
