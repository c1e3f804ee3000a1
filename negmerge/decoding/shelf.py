"""Where what was made of a data set is kept by a name, so that it is made once: by whoever asks first, for all later.

A name says all that the file depends on besides the data set itself, and nothing else: the same name, the same file.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Kept:
    """A file on a shelf: where it lies on this machine, ``sha256:…`` of its bytes, and what others fetch it by."""

    path: Path
    digest: str
    reference: str


class Shelf(Protocol):
    """What is kept of one data set. Whoever has the same data set of the same owner has the same shelf."""

    def take(self, name: str, make: Callable[[Path], None]) -> Kept:
        """The file of this name; where there is none, ``make`` writes it at the path that it is given.

        It appears whole or not at all, and its digest was looked at. Raises what ``make`` raises.
        """
        ...


def name_of(kind: str, *depends_on: object) -> str:
    """A name, 64 hexadecimal digits: SHA-256 over what the file depends on, as canonical JSON."""
    told = json.dumps([kind, *depends_on], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()
