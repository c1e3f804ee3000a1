"""Every error as one shape: ``application/problem+json`` (RFC 9457), a stable ``type`` and ``errors[]``."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from app import errors
from app.errors import NO_ROOM
from negmerge.errors import FieldError, NegmergeError, SelectionError, SpecError
from negmerge.spec.fields import MAX_ERRORS
from negmerge.spec.resources import TYPE_PREFIX, Problem, WrongField

MEDIA_TYPE = "application/problem+json"
MAX_TEXT = 4_000
"""Most characters of a text in a problem."""

log = structlog.get_logger(__name__)


_DATABASE_FULL = ("database or disk is full", "No space left on device", "could not extend file")
"""How SQLite and PostgreSQL say so."""


def response(request: Request, error: errors.ServiceError) -> JSONResponse:
    """The error as a problem response."""
    problem = Problem(
        type=TYPE_PREFIX + error.type,
        title=error.title,
        status=error.status,
        detail=_told(error.detail),
        instance=_told(request.url.path),
        errors=[
            WrongField(pointer=_told(wrong.pointer), detail=_told(wrong.detail)) for wrong in error.errors[:MAX_ERRORS]
        ],
    )
    return JSONResponse(problem.model_dump(), error.status, error.headers, MEDIA_TYPE)


def _told(text: str) -> str:
    """A text that may repeat what a client sent, of a length that somebody can read."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def of_library(error: NegmergeError, kind: type[errors.Invalid], pointer: str = "") -> errors.Invalid:
    """An error of the library as the service's own: ``kind``, with the fields that it blames."""
    if isinstance(error, SpecError):
        return kind(str(error), error.errors)
    if isinstance(error, SelectionError):
        pointer = error.pointer or pointer
    return kind(str(error), [FieldError(pointer, str(error))])


def documented(*kinds: type[errors.ServiceError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for the errors that an endpoint gives, besides those that all give."""
    always: list[type[errors.ServiceError]] = [errors.Malformed, errors.Unauthorized, errors.Forbidden]
    always += [errors.Invalid, errors.InternalError, errors.Unavailable]
    by_status: dict[int | str, list[str]] = {}
    for kind in (*kinds, *always):
        by_status.setdefault(kind.status, []).append(f"`{kind.type}`: {kind.title}.")
    return {status: _described(" ".join(dict.fromkeys(texts))) for status, texts in by_status.items()}


def _described(description: str) -> dict[str, Any]:
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {"description": description, "content": {MEDIA_TYPE: schema}}


def install(app: FastAPI) -> None:
    """Make the application answer every error with a problem."""
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        errors.ServiceError: _service_error,
        RequestValidationError: _validation_error,
        HTTPException: _http_exception,
        OperationalError: _database_error,
        InterfaceError: _database_error,
        ClientDisconnect: _client_gone,
        OSError: _system_error,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _service_error(request: Request, error: errors.ServiceError) -> Response:
    return response(request, error)


async def _validation_error(request: Request, error: RequestValidationError) -> Response:
    wrong = []
    for found in error.errors():
        place, *rest = (str(part) for part in found["loc"])
        wrong.append(FieldError(f"#{'/'.join([place, *rest])}", found["msg"].removeprefix("Value error, ")))
    detail = "; ".join(f"{field.pointer}: {field.detail}" for field in wrong)
    return response(request, errors.Invalid(detail, wrong))


async def _http_exception(request: Request, error: HTTPException) -> Response:
    """Starlette's own: an unknown path or a method that the path does not take."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow", "others")
        detail = f"{request.url.path} does not take {request.method}; it takes {allowed}"
        return response(request, errors.MethodNotAllowed(detail, headers=headers))
    if error.status_code == HTTPStatus.NOT_FOUND:
        return response(request, errors.NotFound(f"there is nothing at {request.url.path}", headers=headers))
    return response(request, errors.Malformed(str(error.detail), headers=headers))


async def _database_error(request: Request, error: Exception) -> Response:
    log.error("the database does not answer", path=request.url.path, cause=str(error))
    if any(word in str(error) for word in _DATABASE_FULL):
        return response(request, errors.NoRoom("the database's disk is full: try again when there is room"))
    return response(request, errors.Unavailable("the database does not answer: try again in a moment"))


async def _system_error(request: Request, error: OSError) -> Response:
    """What the machine lacks is not the client's fault, and not ours."""
    if error.errno in NO_ROOM:
        log.error("a disk is full", path=request.url.path, cause=str(error))
        return response(request, errors.NoRoom("the service's disk is full: try again when there is room"))
    raise error  # as any other that nobody foresaw


async def _client_gone(request: Request, error: ClientDisconnect) -> Response:
    """Nobody reads this answer."""
    return response(request, errors.Malformed("the connection ended before the body did"))


async def _unexpected(request: Request, error: Exception) -> Response:
    """Starlette raises the error again after this answer, so that the server's log has its trace."""
    return response(request, errors.InternalError("an unexpected error; the service's log has the cause"))
