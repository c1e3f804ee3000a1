"""The process and its parts: alive, ready, measured, and what it is."""

import ipaddress
import os
import re
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

import negmerge
from app import auth
from app.api.deps import OpenServices, Services
from app.api.problems import documented
from app.api.telemetry import workers_alive
from app.auth import Scope
from app.dispatch import check_broker
from app.errors import NoRoom, Unavailable
from negmerge.formats.families import FAMILIES
from negmerge.spec.methods import METHOD_NAMES
from negmerge.spec.presets import PRESETS
from negmerge.spec.resources import Health, Meta, Readiness
from negmerge.spec.rivals import rival_names
from negmerge.spec.sweep import MAX_POINTS

router = APIRouter(tags=["system"])

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus' text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

_KEY_OR_NOT: dict[str, Any] = {"security": [{}, {"HTTPBearer": []}]}

_MIN_FILES = 100
"""Files that a disk must have room for: an upload takes a handful."""

_OF_PROXIES = re.compile(
    r"forwarded|via|x-forwarded.*|x-original.*|x-real-.*|.*client-?ip.*|.*connecting-ip|.*remote-(ip|addr|user)|.*user-ip"
    r"|x-envoy-.*|x-amzn-.*|x-cloud-trace-.*|x-azure-.*|x-vercel-.*|x-appengine-.*|cf-.*|cdn-loop|fastly-.*|fly-.*"
    r"|x-scheme|x-request-id|traceparent|max-forwards"
)
"""Headers that proxies add: with any of them, a request from this machine's own address may come from elsewhere."""
_LOOPBACK = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)
"""What a request from this machine to this machine calls it. A proxy without headers of its own passes on another."""


@router.get("/healthz", response_model=Health)
def get_health() -> Health:
    """The process answers. Says nothing about the others."""
    return Health()


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "A part does not answer yet."}},
)
def get_readiness(services: OpenServices) -> Readiness | JSONResponse:
    """Whether jobs can be taken: database, store and broker answer, and the disk has room.

    With SQLite the whole service is on this machine, so a worker belongs to it. Elsewhere workers come and go,
    and jobs wait for them.
    """
    checks: dict[str, Callable[[Services], None]] = {
        "database": _check_database,
        "store": lambda services: services.store.check(),
        "broker": lambda services: check_broker(services.settings.broker_url),
        "disk": _check_disk,
    }
    parts = {name: _outcome(check, services) for name, check in checks.items()}
    ready = set(parts.values()) == {"ok"}
    if parts["database"] == "ok":
        alive = workers_alive(services.database, alive_seconds(services))
        parts["workers"] = str(alive)
        ready = ready and (alive > 0 or services.database.dialect != "sqlite")
    answer = Readiness(ready=ready, parts=parts)
    return answer if ready else JSONResponse(answer.model_dump(), 503)


@router.get(
    "/metrics",
    response_class=Response,
    responses=_METRICS | documented(),
    openapi_extra=_KEY_OR_NOT,
)
def get_metrics(request: Request, services: OpenServices) -> Response:
    """Prometheus metrics, of all tenants. From this machine without a key, from elsewhere with one of scope admin."""
    if not _is_local(request):
        with services.database.read() as session:
            auth.authenticate(session, request.headers.get("authorization")).require(Scope.ADMIN)
    content = request.app.state.telemetry.text()
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/v1/meta", response_model=Meta)
def get_meta(services: OpenServices) -> Meta:
    """What this service is, what it serves and how much it takes."""
    settings = services.settings
    return Meta(
        name="negmerge",
        version=negmerge.__version__,
        api="v1",
        families=list(FAMILIES),
        methods=[*METHOD_NAMES, *rival_names()],
        presets=sorted(PRESETS),
        limits={
            "max_points": MAX_POINTS,
            "max_body_bytes": settings.max_body_bytes,
            "max_upload_bytes": settings.max_upload_bytes,
            "max_archive_bytes": settings.max_archive_bytes,
            "max_archive_files": settings.max_archive_files,
            "max_archive_ratio": settings.max_archive_ratio,
            "max_image_pixels": settings.max_image_pixels,
        },
    )


def alive_seconds(services: Services) -> float:
    """A worker that was not seen for so long counts as gone: a lease, in which it renews several times."""
    return services.settings.lease_seconds


def _check_database(services: Services) -> None:
    with services.database.read() as session:
        session.execute(text("SELECT count(*) FROM jobs WHERE id = ''"))


def _check_disk(services: Services) -> None:
    """Raise NoRoom where there is less space than NEGMERGE_MIN_FREE_BYTES for uploads or in a local store, or no file.

    Raises OSError where a folder is gone.
    """
    settings = services.settings
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    for folder in [settings.data_dir, *filter(None, [services.store.folder])]:
        found = os.statvfs(folder)
        if found.f_bavail * found.f_frsize < settings.min_free_bytes:
            raise NoRoom("a disk of the service is full")
        if found.f_files and found.f_favail < _MIN_FILES:  # 0 in all: a file system that does not count them
            raise NoRoom("a disk of the service has no room for more files")


def _outcome(check: Callable[[Services], None], services: Services) -> str:
    try:
        check(services)
    except (SQLAlchemyError, Unavailable, OSError) as error:
        return f"not ready: {type(error).__name__}"
    return "ok"


def _is_local(request: Request) -> bool:
    """From this machine, and not through a proxy on it."""
    if request.client is None or any(map(_OF_PROXIES.fullmatch, request.headers)):
        return False
    if not _LOOPBACK.fullmatch(request.headers.get("host", "")):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
