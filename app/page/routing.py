"""What all answers of the page have in common: strict headers, and errors that a person can read."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app import errors
from app.errors import ServiceError
from app.page.guard import NotSignedIn
from app.page.rendering import render
from app.record import db

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {source}" for name, source in _POLICY.items()),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers hide the origin of our own forms too
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""On every answer: nothing is loaded from elsewhere, nothing runs but files of ours, nobody frames the page."""

ENDED = "your session has ended: sign in again in another tab, and go on here; what is filled in stays"

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class PageRoute(APIRoute):
    """A route whose errors are pages, and whose answers all carry ``HEADERS`` and are kept nowhere by default."""

    def get_route_handler(self) -> _Handler:
        """The route's handler with that around it."""
        handler = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                response = await handler(request)
            except NotSignedIn:
                response = _sign_in_first(request)
            except ServiceError as error:
                response = error_page(request, error)
            except RequestValidationError as error:
                wrong = "; ".join(f"{found['loc'][-1]}: {found['msg']}" for found in error.errors())
                response = error_page(request, errors.Invalid(f"the address does not fit this page: {wrong}"))
            except db.AWAY:
                away = errors.Unavailable("the database does not answer: load the page again in a moment")
                response = error_page(request, away)
            response.headers.update(HEADERS)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return handled


def error_page(request: Request, error: ServiceError) -> Response:
    """An error in words, with its status."""
    visitor = getattr(request.state, "visitor", None)
    response = render(request, "error.html.jinja", visitor, error.status, error=error, back=_back(request))
    response.headers.update({name: value for name, value in error.headers.items() if name != "WWW-Authenticate"})
    return response


def _back(request: Request) -> str | None:
    """The view of this site that led to an error, where a browser says so; not the address of the error itself."""
    back = _view(request, "referer")
    return None if back in ("/", _path(request.url)) else back


def _sign_in_first(request: Request) -> Response:
    """To the sign-in page, and from there back.

    A link on another site comes without the cookie, which is sent from this site alone. So such a visitor is first sent
    here once more, from here. A script that sends a form is only told, so that what was filled in stays.
    """
    looks, renews = request.method in ("GET", "HEAD"), request.headers.get("hx-request") == "true"
    if not looks and (renews or "x-form-token" in request.headers):
        return error_page(request, errors.Unauthorized(ENDED))
    if looks and not renews and request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return render(request, "again.html.jinja", place=_path(request.url))
    if looks and not renews:
        return RedirectResponse(f"/sign-in?{urlencode({'next': _path(request.url)})}", 303)
    place = _view(request, "hx-current-url" if renews else "referer")
    to = f"/sign-in?{urlencode({'next': place, 'ended': 'true'})}"
    return Response(status_code=401, headers={"HX-Redirect": to}) if renews else RedirectResponse(to, 303)


def _view(request: Request, header: str) -> str:
    """The view of ours from which a script or a form sends, by a header that tells it; else the first one."""
    try:
        url = urlsplit(request.headers.get(header, ""))
    except ValueError:
        return "/"
    return _path(url) if url.netloc and url.netloc == request.headers.get("host") else "/"


def _path(url: URL | SplitResult) -> str:
    return url.path + (f"?{url.query}" if url.query else "")
