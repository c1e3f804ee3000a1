"""Who is looking at the page, and whether what they send is from the page itself.

Three things keep other sites from acting for whoever is signed in: the cookie is not sent from there (SameSite), the
browser says where a request comes from, and every form carries a token of its session.
"""

import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from app.api.deps import OpenServices
from app.api.documents import media_type
from app.auth import Principal, Scope
from app.errors import Forbidden, Malformed, TooLarge, UnsupportedMedia
from app.page import cookies, sessions

MAX_FORM_BYTES = 2**20
"""Largest body of a form, but for that of a new request."""
MAX_FIELDS = 1200
"""Of a form. All classes that have a tile (``new.MAX_TILES``), a page of samples, and everything else fit."""
_LONGEST_BYTE = 3
"""A form's encoding writes a byte as itself or as ``%2F``."""


class NotSignedIn(Exception):
    """Nobody is signed in, or no more."""


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed in, and the token that their forms carry."""

    principal: Principal
    token: str

    @property
    def tenant(self) -> str:
        """Whose things they see."""
        return self.principal.tenant

    @property
    def may_write(self) -> bool:
        """Whether buttons that change anything are theirs to press."""
        return self.principal.may(Scope.WRITE)

    @property
    def may_administer(self) -> bool:
        """Whether keys and the like are theirs to see."""
        return self.principal.may(Scope.ADMIN)


def visitor(request: Request, services: OpenServices) -> Visitor:
    """Who is signed in, with a key that may read. Raises NotSignedIn, Forbidden."""
    secret = cookies.secret_of(request)
    if secret is None:
        raise NotSignedIn
    with services.database.read() as session:
        principal = sessions.holder(session, secret)
    if principal is None:
        raise NotSignedIn
    principal.require(Scope.READ)
    found = Visitor(principal, sessions.form_token(secret))
    request.state.visitor = found  # for the page of an error
    return found


SignedIn = Annotated[Visitor, Depends(visitor)]


def writer(visitor: SignedIn) -> Visitor:
    """Who is signed in, with a key that may change things. Raises NotSignedIn, Forbidden."""
    visitor.principal.require(Scope.WRITE)
    return visitor


Writer = Annotated[Visitor, Depends(writer)]


def same_origin(request: Request) -> None:
    """Raise Forbidden unless the browser says that the request comes from this very page.

    Browsers say ``Sec-Fetch-Site`` wherever a page is served by https or on this machine, and ``Origin`` everywhere.
    """
    site = request.headers.get("sec-fetch-site")
    if site is None:
        host = urlsplit(request.headers.get("origin", "")).netloc
        site = "same-origin" if host and host == request.headers.get("host") else "unknown"
    if site != "same-origin":
        raise Forbidden("this was not sent from the page itself: open the page and do it there")


SameOrigin = Depends(same_origin)


FromHere = Annotated[None, Depends(same_origin)]


async def open_form(request: Request, _first: FromHere) -> dict[str, str]:
    """The fields of a form that somebody sends before they are signed in; of equal names the last."""
    return await _fields(request, MAX_FORM_BYTES)


OpenForm = Annotated[dict[str, str], Depends(open_form)]


async def own_form(request: Request, visitor: SignedIn, _first: FromHere) -> dict[str, str]:
    """The fields of a form of this session, whatever its key may do. Raises Forbidden for another token or none."""
    return await _own_fields(request, visitor, MAX_FORM_BYTES)


OwnForm = Annotated[dict[str, str], Depends(own_form)]


async def form(request: Request, visitor: Writer, _first: FromHere) -> dict[str, str]:
    """The fields of a form that changes something; the key is judged before the body is read. Raises Forbidden."""
    return await own_form(request, visitor, None)


Form = Annotated[dict[str, str], Depends(form)]


async def long_form(request: Request, visitor: Writer, services: OpenServices, _first: FromHere) -> dict[str, str]:
    """The same of a form that makes a job: whatever ``POST /v1/jobs`` would take fits in it. Raises Forbidden."""
    return await _own_fields(request, visitor, _LONGEST_BYTE * services.settings.max_body_bytes + MAX_FORM_BYTES)


LongForm = Annotated[dict[str, str], Depends(long_form)]


def posting(request: Request, visitor: Writer, _first: FromHere) -> Visitor:
    """Who sends a body that is no form; the token is in the header ``X-Form-Token``. Raises Forbidden."""
    _check(visitor, request.headers.get("x-form-token", ""))
    return visitor


Posting = Annotated[Visitor, Depends(posting)]


async def _own_fields(request: Request, visitor: Visitor, max_bytes: int) -> dict[str, str]:
    fields = await _fields(request, max_bytes)
    _check(visitor, fields.pop("token", ""))
    return fields


async def _fields(request: Request, max_bytes: int) -> dict[str, str]:
    if media_type(request) != "application/x-www-form-urlencoded":
        raise UnsupportedMedia("the page's forms are application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body.extend(chunk)
        if len(body) > max_bytes:
            raise TooLarge(f"this form may have {max_bytes} bytes")
    return await run_in_threadpool(_parsed, bytes(body))


def _parsed(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
    except ValueError:
        raise Malformed(f"the form is no UTF-8 text, or has more than {MAX_FIELDS} fields") from None


def _check(visitor: Visitor, token: str) -> None:
    if not hmac.compare_digest(visitor.token.encode(), token.encode()):
        raise Forbidden("this form is of an earlier session: go back, load the page again and send it once more")
