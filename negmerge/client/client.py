"""``Client`` and ``AsyncClient``: routes as methods. The calls are in ``datasets``, ``models``, ``jobs``, ``system``.

``Client`` performs them at once, ``AsyncClient`` gives what is to be awaited; all else is the same.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from negmerge.client import datasets, jobs, models, system
from negmerge.client.aio import AsyncWire
from negmerge.client.effects import Call, Flow, Retries
from negmerge.client.site import find_retries, find_site
from negmerge.client.sync import Wire

P = ParamSpec("P")
T = TypeVar("T")


class _Parts:
    """A group of methods over one wire."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire


class _AsyncParts:
    """The same, awaited."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire


def _now(call: Callable[P, Call[T]]) -> Callable[Concatenate[_Parts, P], T]:
    """A method that performs the call."""

    @wraps(call)
    def method(self: _Parts, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wire.run(call(*args, **kwargs))

    return method


def _each(flow: Callable[P, Flow[T]]) -> Callable[Concatenate[_Parts, P], Iterator[T]]:
    """A method that gives a flow's items, as they are asked for."""

    @wraps(flow)
    def method(self: _Parts, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._wire.follow(flow(*args, **kwargs))

    return method


def _later(call: Callable[P, Call[T]]) -> Callable[Concatenate[_AsyncParts, P], Coroutine[Any, Any, T]]:
    """A method whose call is performed when it is awaited."""

    @wraps(call)
    def method(self: _AsyncParts, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        return self._wire.run(call(*args, **kwargs))

    return method


def _each_later(flow: Callable[P, Flow[T]]) -> Callable[Concatenate[_AsyncParts, P], AsyncGenerator[T, None]]:
    """A method that gives a flow's items to ``async for``."""

    @wraps(flow)
    def method(self: _AsyncParts, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return self._wire.follow(flow(*args, **kwargs))

    return method


class Datasets(_Parts):
    """Data sets at the service."""

    upload = _now(datasets.upload)
    register = _now(datasets.register)
    list = _each(datasets.list_all)
    get = _now(datasets.get)
    delete = _now(datasets.delete)
    samples = _each(datasets.samples)
    thumbnail = _now(datasets.thumbnail)
    match = _now(datasets.match)


class Models(_Parts):
    """Models at the service."""

    upload = _now(models.upload)
    register = _now(models.register)
    list = _each(models.list_all)
    get = _now(models.get)
    delete = _now(models.delete)


class Jobs(_Parts):
    """Jobs at the service."""

    submit = _now(jobs.submit)
    dry_run = _now(jobs.dry_run)
    list = _each(jobs.list_all)
    get = _now(jobs.get)
    wait = _now(jobs.wait)
    cancel = _now(jobs.cancel)
    delete = _now(jobs.delete)
    points = _each(jobs.points)
    events = _each(jobs.events)
    result = _now(jobs.result)
    artifacts = _now(jobs.artifacts)
    download = _now(jobs.download)
    download_all = _now(jobs.download_all)
    weights = _now(jobs.weights)


class AsyncDatasets(_AsyncParts):
    """Data sets at the service."""

    upload = _later(datasets.upload)
    register = _later(datasets.register)
    list = _each_later(datasets.list_all)
    get = _later(datasets.get)
    delete = _later(datasets.delete)
    samples = _each_later(datasets.samples)
    thumbnail = _later(datasets.thumbnail)
    match = _later(datasets.match)


class AsyncModels(_AsyncParts):
    """Models at the service."""

    upload = _later(models.upload)
    register = _later(models.register)
    list = _each_later(models.list_all)
    get = _later(models.get)
    delete = _later(models.delete)


class AsyncJobs(_AsyncParts):
    """Jobs at the service."""

    submit = _later(jobs.submit)
    dry_run = _later(jobs.dry_run)
    list = _each_later(jobs.list_all)
    get = _later(jobs.get)
    wait = _later(jobs.wait)
    cancel = _later(jobs.cancel)
    delete = _later(jobs.delete)
    points = _each_later(jobs.points)
    events = _each_later(jobs.events)
    result = _later(jobs.result)
    artifacts = _later(jobs.artifacts)
    download = _later(jobs.download)
    download_all = _later(jobs.download_all)
    weights = _later(jobs.weights)


class Client(_Parts):
    """A NegMerge service, from a program or a notebook.

    url, key: the service and its API key; what is not given is taken from ``NEGMERGE_URL`` and ``NEGMERGE_API_KEY``,
    else from the file that ``negmerge login`` wrote. allow_http: let the key go over plain ``http:`` to another
    machine. retries: how often a request is tried again. Raises NotConfigured.

    Use it as a context manager, or ``close`` it. One client may be used by one thread at a time.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        allow_http: bool | None = None,
        retries: Retries | None = None,
    ) -> None:
        site = find_site(url, key, allow_http=allow_http)
        super().__init__(Wire(site, retries or find_retries()))
        self.url = site.url
        self.datasets = Datasets(self._wire)
        self.models = Models(self._wire)
        self.jobs = Jobs(self._wire)

    meta = _now(system.meta)
    readiness = _now(system.readiness)

    def close(self) -> None:
        """Let go of all connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_AsyncParts):
    """A NegMerge service, from a program on asyncio: as ``Client``, and what that returns is awaited here.

    Files of this machine are read and written between two steps, so they are best on a fast disk.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        allow_http: bool | None = None,
        retries: Retries | None = None,
    ) -> None:
        site = find_site(url, key, allow_http=allow_http)
        super().__init__(AsyncWire(site, retries or find_retries()))
        self.url = site.url
        self.datasets = AsyncDatasets(self._wire)
        self.models = AsyncModels(self._wire)
        self.jobs = AsyncJobs(self._wire)

    meta = _later(system.meta)
    readiness = _later(system.readiness)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
