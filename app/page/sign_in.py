"""Signing in with an API key, and out again."""

import re
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from app.api.deps import OpenServices
from app.auth import Principal, Scope
from app.errors import Forbidden, Unauthorized
from app.page import cookies, sessions
from app.page.guard import OpenForm, OwnForm
from app.page.rendering import render
from app.page.routing import PageRoute
from app.page.throttle import Throttle, TooManyTries

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_PLACE = re.compile(r"/(?![/\\])[^\x00-\x20\\\x7f]{0,2000}")
"""A path of this site. A second slash, or a backslash that browsers take for one, would begin another host's name."""


@router.get("/sign-in")
def show_sign_in(request: Request, place: Annotated[str, Query(alias="next")] = "/", ended: bool = False) -> Response:
    """Where a key is asked for. ended: of somebody who was signed in until now."""
    return _page(request, place, ended=ended)


@router.post("/sign-in")
def sign_in(request: Request, services: OpenServices, form: OpenForm) -> Response:
    """Take the key, begin a session, go to where the visitor wanted to."""
    throttle: Throttle = request.app.state.sign_ins
    address = request.client.host if request.client else ""
    place = form.get("next", "/")
    try:
        throttle.check(address)
        with services.database.write() as session:
            opened = sessions.open_session(session, form.get("key", ""), services.settings.page_session_seconds)
            _may_look(opened.principal)
    except TooManyTries as error:
        return _page(request, place, str(error), 429)
    except Forbidden as error:
        return _page(request, place, error.detail, error.status)
    except Unauthorized as error:
        throttle.failed(address)
        return _page(request, place, error.detail, error.status)
    response = RedirectResponse(_place(place), 303)
    cookies.set_secret(request, response, opened.secret, services.settings.page_session_seconds)
    return response


@router.post("/sign-out")
def sign_out(request: Request, services: OpenServices, _form: OwnForm) -> Response:
    """End the session, here and in the browser."""
    secret = cookies.secret_of(request)
    if secret is not None:
        with services.database.write() as session:
            sessions.close_session(session, secret)
    response = RedirectResponse("/sign-in", 303)
    cookies.forget_secret(response)
    return response


def _may_look(principal: Principal) -> None:
    """Raise Forbidden for a key that could not open a single view."""
    if not principal.may(Scope.READ):
        raise Forbidden("the key has no scope 'read', without which there is nothing to see: ask for one that has")


def _page(request: Request, place: str, wrong: str = "", status: int = 200, *, ended: bool = False) -> Response:
    return render(request, "sign_in.html.jinja", status=status, place=_place(place), wrong=wrong, ended=ended)


def _place(text: str) -> str:
    """Where to go after signing in: a path of this site, whatever somebody wrote into a link."""
    return text if _PLACE.fullmatch(text) else "/"
