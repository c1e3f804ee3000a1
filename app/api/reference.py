"""The API's description as pages: Swagger UI at ``/docs``, Redoc at ``/redoc``, from files of the installation alone.

Their scripts and the style are those that the package fastapi-offline carries. Its own pages have scripts in line; ours
have none, so that a Content-Security-Policy can leave out every other script. Nothing is asked of another host.
"""

from functools import cache
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response

from app.errors import NotFound

router = APIRouter(include_in_schema=False)

_OURS = Path(__file__).with_name("static")
_CARRIED = Path(fastapi_offline.__file__).with_name("static")
ASSETS = {
    "docs.js": _OURS,
    "redoc.css": _OURS,
    "redoc.js": _OURS,
    "redoc.standalone.js": _CARRIED,
    "swagger-ui-bundle.js": _CARRIED,
    "swagger-ui.css": _CARRIED,
}
"""The files that the pages name, and where each lies."""

_MEDIA = {".css": "text/css", ".js": "text/javascript"}

_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
"""What Redoc would show of its maker's: left out, so that a browser does not even try."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI's style has its pictures within it, as ``data:``. Redoc makes styles while it runs: 'unsafe-inline'."""

_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


@router.get("/docs")
def get_docs() -> FileResponse:
    """Swagger UI: every operation, to be tried with a key, which the page forgets when it is left."""
    return _page("docs.html", "")


@router.get("/redoc")
def get_redoc() -> FileResponse:
    """Redoc: the same description to be read, on paper too."""
    return _page("redoc.html", " 'unsafe-inline'")


@router.get("/docs/{name}")
def get_docs_asset(request: Request, name: str) -> Response:
    """A script or a style of the two."""
    if name not in ASSETS:
        raise NotFound(f"there is nothing at {request.url.path}")
    headers = {**_HEADERS, "Cache-Control": "public, max-age=3600"}
    return Response(_content(name), headers=headers, media_type=_MEDIA[Path(name).suffix])


@cache
def _content(name: str) -> bytes:
    return (ASSETS[name] / name).read_bytes().replace(_LOGO, b"data:,")


def _page(name: str, styles: str) -> FileResponse:
    policy = {"Content-Security-Policy": _POLICY.format(styles=styles), "Cache-Control": "no-cache"}
    return FileResponse(_OURS / name, headers=_HEADERS | policy)
