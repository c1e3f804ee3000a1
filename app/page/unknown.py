"""Addresses at which there is nothing, as a page for whoever came with a browser; programs get a problem as ever."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app import errors
from app.errors import Forbidden, ServiceError
from app.page.guard import NotSignedIn, visitor
from app.page.routing import HEADERS, error_page
from app.record import db

_OF_PROGRAMS = ("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json")

_Handler = Callable[[Request, Any], Awaitable[Response]]


def install(app: FastAPI) -> None:
    """Answer a browser with pages; what handled these errors before answers all others."""
    for kind in (HTTPException, ServiceError):
        app.add_exception_handler(kind, _for_browsers(app.exception_handlers[kind]))  # type: ignore[arg-type]


def _for_browsers(otherwise: _Handler) -> _Handler:
    async def handled(request: Request, error: Exception) -> Response:
        if not _is_a_browsers(request):
            return await otherwise(request, error)
        found = error if isinstance(error, ServiceError) else _in_words(request, error)
        await run_in_threadpool(_recognise, request)
        response = error_page(request, found)
        response.headers.update(HEADERS | {"Cache-Control": "no-store"})
        return response

    return handled


def _is_a_browsers(request: Request) -> bool:
    """Whether somebody looks at what is answered: browsers name HTML first, programs hardly ever."""
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith(_OF_PROGRAMS)


def _in_words(request: Request, error: Exception) -> ServiceError:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        told = "there is nothing to look at here: a button of the page leads to this address"
        return errors.MethodNotAllowed(told, headers=dict(error.headers or {}))
    return errors.NotFound(f"there is nothing at {request.url.path}: see that the address is whole")


def _recognise(request: Request) -> None:
    """Note who is signed in, so that the page of the error has their navigation."""
    try:
        visitor(request, request.app.state.services)
    except (NotSignedIn, Forbidden, *db.AWAY):
        return
