"""What the service measures of itself, for Prometheus: requests as they pass, jobs and workers at each scrape."""

import time
from collections.abc import Iterator
from datetime import timedelta
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.record import db
from app.record.db import Database
from app.record.states import JobState
from app.record.tables import Job, Worker

BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Seconds. Answers take milliseconds, uploads as long as they take."""


_METHODS = frozenset(method.value for method in HTTPMethod)


class Telemetry:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, database: Database, alive_seconds: float) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "negmerge_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "negmerge_http_request_seconds",
            "From a request's head to its answer's head.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Record(database, alive_seconds))

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered. Of a method that is none of HTTP's, a client's invention, no name is kept."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


class CountRequests:
    """ASGI middleware: counts each answer when its head goes out, by route and not by path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "none")
                telemetry: Telemetry = scope["app"].state.telemetry
                telemetry.count(scope["method"], route, message["status"], time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, counting)


def workers_alive(database: Database, alive_seconds: float) -> int:
    """How many workers were seen in the last ``alive_seconds``."""
    with database.read() as session:
        since = db.now(session) - timedelta(seconds=alive_seconds)
        return session.scalar(select(func.count()).select_from(Worker).where(Worker.seen_at > since)) or 0


class _Record(Collector):
    """Gauges that are read from the database when they are asked for."""

    def __init__(self, database: Database, alive_seconds: float) -> None:
        self._database = database
        self._alive_seconds = alive_seconds

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("negmerge_jobs", "Jobs by state.")
        yield GaugeMetricFamily("negmerge_workers", "Workers seen alive.")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = dict.fromkeys(JobState, 0)
        with self._database.read() as session:
            statement = select(Job.state, func.count()).where(Job.deleted_at.is_(None)).group_by(Job.state)
            counts |= {JobState(state): number for state, number in session.execute(statement)}
        jobs = GaugeMetricFamily("negmerge_jobs", "Jobs by state.", labels=["state"])
        for state, number in counts.items():
            jobs.add_metric([state], number)
        yield jobs
        alive = workers_alive(self._database, self._alive_seconds)
        yield GaugeMetricFamily("negmerge_workers", "Workers seen alive.", value=alive)
