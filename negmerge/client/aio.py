"""The wire of ``AsyncClient``: the same as ``sync``, awaited. Files of this machine are read and written in between."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, aclosing
from typing import Any, TypeVar

import httpx

from negmerge.client.driven import LIMITS, Driven, described, head_of
from negmerge.client.effects import Call, Close, Effect, Flow, Head, Item, Open, Policy, Read, Request, Retries, Sleep
from negmerge.client.site import Site

T = TypeVar("T")


class AsyncWire:
    """Performs what calls ask for, over one httpx client, on asyncio."""

    def __init__(self, site: Site, retries: Retries) -> None:
        self._retries = retries
        self._http = httpx.AsyncClient(base_url=site.url, headers=site.headers, trust_env=site.by_proxy, limits=LIMITS)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._http.aclose()

    async def run(self, call: Call[T]) -> T:
        """Perform a call; returns what it returns."""
        driven = Driven[T](call)
        async for _ in self._performed(driven):
            raise AssertionError("a call gives no items")
        return driven.value

    async def follow(self, flow: Flow[T]) -> AsyncGenerator[T, None]:
        """Perform a flow; gives its items as they come."""
        async with aclosing(self._performed(Driven(flow))) as items:
            async for item in items:
                yield item

    async def _performed(self, driven: Driven[Any]) -> AsyncGenerator[Any, None]:
        answers = _Answers(self._http)
        try:
            while (effect := driven.next()) is not None:
                if isinstance(effect, Item):
                    yield effect.value
                else:
                    with driven.losing():
                        driven.tell(await self._perform(effect, answers))
        finally:
            driven.close()
            await answers.close()

    async def _perform(self, effect: Effect, answers: "_Answers") -> Head | bytes | Retries | None:
        match effect:
            case Open(request):
                return await answers.open(request)
            case Read(answer):
                return await answers.read(answer)
            case Close(answer):
                await answers.close_one(answer)
            case Sleep(seconds):
                await asyncio.sleep(seconds)
            case Policy():
                return self._retries
        return None


class _Answers:
    """The answers that one call has open."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._open: dict[int, tuple[httpx.Response, AsyncIterator[bytes]]] = {}
        self._count = 0

    async def open(self, request: Request) -> Head:
        with ExitStack() as files:
            response = await self._http.send(self._http.build_request(**described(request, files)), stream=True)
        self._count += 1
        self._open[self._count] = response, response.aiter_raw()
        return head_of(self._count, response)

    async def read(self, answer: int) -> bytes | None:
        piece = await anext(self._open[answer][1], None)
        if piece is None:
            await self.close_one(answer)
        return piece

    async def close_one(self, answer: int) -> None:
        await self._open.pop(answer)[0].aclose()

    async def close(self) -> None:
        while self._open:
            await self.close_one(next(iter(self._open)))
