"""What the two wires share: a call while it is performed, requests as httpx takes them, and httpx's failures."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, Generic, TypedDict, TypeVar

import httpx

from negmerge.client.effects import Call, Effect, Flow, Form, Head, Item, Lost, Request

T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""How long a connection may take to be made."""
IDLE_SECONDS = 2.0
"""How long an idle connection is kept: less than a server keeps it, which would close it under the next request."""
LIMITS = httpx.Limits(keepalive_expiry=IDLE_SECONDS)


class Driven(Generic[T]):
    """A call while it is performed: what it asks for next, given what became of what it asked for last."""

    def __init__(self, call: Call[T] | Flow[Any]) -> None:
        self.value: T
        self._call: Any = call
        self._outcome: Any = None
        self._failed: Lost | None = None

    def next(self) -> Effect | Item[Any] | None:
        """What the call asks for next; None where it has ended, and ``value`` is what it returned."""
        outcome, failed, self._outcome, self._failed = self._outcome, self._failed, None, None
        try:
            effect: Effect | Item[Any] = self._call.send(outcome) if failed is None else self._call.throw(failed)
        except StopIteration as done:
            self.value = done.value
            return None
        return effect

    def tell(self, outcome: object) -> None:
        """What the effect has come to."""
        self._outcome = outcome

    @contextmanager
    def losing(self) -> Iterator[None]:
        """What httpx raises in the block is raised in the call when it goes on, as ``Lost``."""
        try:
            yield
        except httpx.TransportError as error:
            self._failed = _lost(error)

    def close(self) -> None:
        """End the call where it stands, for it to put away what it holds."""
        self._call.close()


class Described(TypedDict, total=False):
    """A request as httpx builds one."""

    method: str
    url: str
    params: dict[str, Any]
    headers: dict[str, str]
    json: Any
    data: Mapping[str, str]
    files: list[tuple[str, tuple[str, BinaryIO]]]
    timeout: httpx.Timeout


def described(request: Request, files: ExitStack) -> Described:
    """The request for httpx. The files of its form are opened, and closed with ``files``."""
    told: Described = {
        "method": request.method,
        "url": request.path,
        "params": {name: value for name, value in request.params.items() if value is not None},
        "headers": {"Accept": "application/json"} | dict(request.headers),
        "timeout": httpx.Timeout(request.patience, connect=CONNECT_SECONDS),
    }
    if request.json is not None:
        told["json"] = request.json
    if request.form is not None:
        told["data"] = request.form.fields
        told["files"] = _opened(request.form, files)
    return told


def head_of(answer: int, response: httpx.Response) -> Head:
    """The beginning of httpx's answer."""
    return Head(answer, response.status_code, {name.lower(): value for name, value in response.headers.items()})


def _opened(form: Form, files: ExitStack) -> list[tuple[str, tuple[str, BinaryIO]]]:
    return [(file.part, (file.name, files.enter_context(file.open()))) for file in form.files]


def _lost(error: httpx.TransportError) -> Lost:
    """httpx's failure as ours: whether the service may have had the request, and why in words."""
    unsent = isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
    )
    if isinstance(error, httpx.TimeoutException):
        why = "no connection in time" if unsent else "it was silent for too long"
    else:
        why = str(error) or "the connection was cut"
    return Lost(why, sent=not unsent, silent=isinstance(error, httpx.ReadTimeout))
