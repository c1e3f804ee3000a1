"""What the client asks of the wire, as data, so that each call is written once for both ways of waiting.

A *call* is a generator: it yields effects, is sent each one's outcome, and returns what the caller wanted. ``sync`` and
``aio`` perform the effects, and know nothing else. A connection that fails is raised inside the call, as ``Lost``.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Generic, TypeVar

T = TypeVar("T")

Params = Mapping[str, str | int | bool | list[str] | None]
"""A query; what is None is left out."""


@dataclass(frozen=True)
class Attachment:
    """A file of a form. ``open`` is called once for each try, and gives its bytes from the beginning."""

    part: str
    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Form:
    """A multipart form."""

    fields: Mapping[str, str]
    files: tuple[Attachment, ...]


@dataclass(frozen=True)
class Request:
    """One request below the service's URL.

    repeatable: whether it may be sent again where nobody knows what became of it. patience: seconds of silence after
    which the answer counts as lost. settled: statuses that mean, once an answer was lost, that the request was done.
    answers: statuses of errors whose body is an answer all the same.
    """

    method: str
    path: str
    params: Params = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Form | None = None
    repeatable: bool = True
    patience: float = 60.0
    settled: frozenset[int] = frozenset()
    answers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Head:
    """The beginning of an answer, which stays open until it is read to its end or closed. Headers are in lower case."""

    answer: int
    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Retries:
    """How often a request is tried again, and after which pause.

    The pause is drawn from [half, whole] of ``first_seconds``, doubled each time up to ``most_seconds``. A longer
    ``Retry-After`` is kept up to ``most_wait_seconds``; one that is longer still ends the tries.
    """

    attempts: int = 5
    first_seconds: float = 0.5
    most_seconds: float = 20.0
    most_wait_seconds: float = 120.0


@dataclass(frozen=True)
class Open:
    """Send a request; its outcome is a Head."""

    request: Request


@dataclass(frozen=True)
class Read:
    """Read on in an open answer; its outcome is some bytes, or None at its end."""

    answer: int


@dataclass(frozen=True)
class Close:
    """Read no more of an answer. At a call's end all that it left open is closed."""

    answer: int


@dataclass(frozen=True)
class Sleep:
    """Let some time pass."""

    seconds: float


@dataclass(frozen=True)
class Policy:
    """Ask for the client's Retries."""


@dataclass(frozen=True)
class Item(Generic[T]):
    """Give the caller one of several things; it may ask for no more of them."""

    value: T


Effect = Open | Read | Close | Sleep | Policy
Call = Generator[Effect, Any, T]
Flow = Generator[Effect | Item[T], Any, None]
"""A call that gives several things, one after the other."""


class Lost(Exception):
    """No connection could be made, or it was cut, or silent for too long.

    sent: whether the service may have had the request. silent: whether nothing came, for longer than the patience.
    """

    def __init__(self, why: str, *, sent: bool, silent: bool = False) -> None:
        self.sent = sent
        self.silent = silent
        super().__init__(why)


def opened(request: Request) -> Call[Head]:
    """The beginning of a request's answer. Raises Lost."""
    head: Head = yield Open(request)
    return head


def read(head: Head) -> Call[bytes | None]:
    """The next bytes of an open answer, None at its end. Raises Lost."""
    piece: bytes | None = yield Read(head.answer)
    return piece
