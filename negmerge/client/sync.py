"""The wire of ``Client``: calls performed in the thread that makes them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx

from negmerge.client.driven import LIMITS, Driven, described, head_of
from negmerge.client.effects import Call, Close, Effect, Flow, Head, Item, Open, Policy, Read, Request, Retries, Sleep
from negmerge.client.site import Site

T = TypeVar("T")


class Wire:
    """Performs what calls ask for, over one httpx client."""

    def __init__(self, site: Site, retries: Retries) -> None:
        self._retries = retries
        self._http = httpx.Client(base_url=site.url, headers=site.headers, trust_env=site.by_proxy, limits=LIMITS)

    def close(self) -> None:
        """Let go of all connections."""
        self._http.close()

    def run(self, call: Call[T]) -> T:
        """Perform a call; returns what it returns."""
        driven = Driven[T](call)
        for _ in self._performed(driven):
            raise AssertionError("a call gives no items")
        return driven.value

    def follow(self, flow: Flow[T]) -> Iterator[T]:
        """Perform a flow; gives its items as they come."""
        yield from self._performed(Driven(flow))

    def _performed(self, driven: Driven[Any]) -> Iterator[Any]:
        answers = _Answers(self._http)
        try:
            while (effect := driven.next()) is not None:
                if isinstance(effect, Item):
                    yield effect.value
                else:
                    with driven.losing():
                        driven.tell(self._perform(effect, answers))
        finally:
            driven.close()
            answers.close()

    def _perform(self, effect: Effect, answers: "_Answers") -> Head | bytes | Retries | None:
        match effect:
            case Open(request):
                return answers.open(request)
            case Read(answer):
                return answers.read(answer)
            case Close(answer):
                answers.close_one(answer)
            case Sleep(seconds):
                time.sleep(seconds)
            case Policy():
                return self._retries
        return None


class _Answers:
    """The answers that one call has open."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._open: dict[int, tuple[httpx.Response, Iterator[bytes]]] = {}
        self._count = 0

    def open(self, request: Request) -> Head:
        with ExitStack() as files:
            response = self._http.send(self._http.build_request(**described(request, files)), stream=True)
        self._count += 1
        self._open[self._count] = response, response.iter_raw()
        return head_of(self._count, response)

    def read(self, answer: int) -> bytes | None:
        piece = next(self._open[answer][1], None)
        if piece is None:
            self.close_one(answer)
        return piece

    def close_one(self, answer: int) -> None:
        self._open.pop(answer)[0].close()

    def close(self) -> None:
        while self._open:
            self.close_one(next(iter(self._open)))
