"""What the routes need: the services of this process, who is asking, the body, the page.

Who is asking is found before a byte of the body is read: the framework takes no body here, ``documents`` and
``uploads`` do, from inside the handlers or after this in the order of dependencies.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Header, Path, Query, Request
from fastapi.security import HTTPBearer
from pydantic import BeforeValidator

from app import auth
from app.api import documents
from app.api.streams import OpenStreams
from app.auth import Principal, Scope
from app.dispatch import Dispatcher
from app.errors import Invalid, Malformed, NotFound
from app.intake.cutting import Cutter
from app.intake.registration import Registrar
from app.pictures.archives import Archives
from app.pictures.matching import Matcher
from app.pictures.thumbnails import Thumbnails
from app.record.db import Database
from app.settings import Settings
from app.store.objects import Store
from negmerge.errors import FieldError
from negmerge.spec.numbers import plain_number

_ID = re.compile(r"[a-z]{2,3}_[0-9A-Za-z]{1,36}")
_REPEATABLE = frozenset({"state", "outcome", "class", "part"})
_READING = frozenset({"GET", "HEAD"})
_ASKING = frozenset({"/v1/datasets/{id}/match"})
"""Routes whose POST brings a question and changes nothing."""
_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer nm_…`.")


@dataclass(frozen=True)
class Services:
    """What one API process holds open."""

    settings: Settings
    database: Database
    store: Store
    dispatcher: Dispatcher
    cutter: Cutter
    registrar: Registrar
    archives: Archives
    thumbnails: Thumbnails
    matcher: Matcher
    streams: OpenStreams
    uploading: CapacityLimiter
    """Uploads that are checked and stored side by side; others wait, and no other request for them."""
    looking: CapacityLimiter
    """Requests for pictures, in the same way."""


def _services(request: Request) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


OpenServices = Annotated[Services, Depends(_services)]


def caller(request: Request, services: OpenServices, _key: Annotated[object, Depends(_bearer)]) -> Principal:
    """Who is asking. GET and HEAD need the scope ``read``, and so does a POST that only asks; all else ``write``."""
    with services.database.read() as session:
        principal = auth.authenticate(session, request.headers.get("authorization"))
    only_asks = request.method in _READING or request.scope["route"].path in _ASKING
    principal.require(Scope.READ if only_asks else Scope.WRITE)
    return principal


Caller = Annotated[Principal, Depends(caller)]


def viewer(caller: Caller) -> Principal:
    """Who is asking for pictures: what they show needs a scope of its own."""
    caller.require(Scope.IMAGES)
    return caller


def single_values(request: Request) -> None:
    """Raise Invalid for a parameter of the query that stands there twice: which of the two was meant?"""
    given = Counter(name for name, _ in request.query_params.multi_items() if name not in _REPEATABLE)
    if twice := next((name for name, times in given.items() if times > 1), None):
        told = f"{twice[:100]} is given twice: give it once"
        raise Invalid(told, [FieldError(f"#query/{twice[:100]}", told)])


async def _document(request: Request, _first: Caller, services: OpenServices) -> documents.Document:
    return await documents.read(request, services.settings.max_body_bytes)


Body = Annotated[documents.Document, Depends(_document)]


def _idempotency_key(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="Makes a POST safe to repeat: the same key with the same body gives the same job.",
        ),
    ] = None,
) -> str | None:
    if key is None:
        return None
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise Malformed("there are two headers Idempotency-Key: send one")
    bare = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 1 <= len(bare) <= 255 or not all(" " <= sign <= "~" for sign in bare):
        raise Malformed("an Idempotency-Key has 1 to 255 printable ASCII characters")
    return bare


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]


def _known_shape(entry_id: Annotated[str, Path(alias="id", description="`job_…`, `ds_…` or `mdl_…`.")]) -> str:
    """An id that the database may be asked for. One of another shape names nothing."""
    if not _ID.fullmatch(entry_id):
        raise NotFound(f"there is nothing with the id {entry_id!r}")
    return entry_id


EntryId = Annotated[str, Depends(_known_shape)]
MOST = "Most entries of the page."
Plain = BeforeValidator(plain_number)
"""For a number in a query, which is text there."""
Limit = Annotated[int, Plain, Query(ge=1, le=200, description=MOST)]


def _cursor(
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> str | None:
    if cursor is not None and not re.fullmatch(r"[0-9A-Za-z_]{1,40}", cursor):
        raise Malformed(f"the cursor {cursor!r} is not one of ours: take next_cursor of the page before")
    return cursor


Cursor = Annotated[str | None, Depends(_cursor)]


def cursor_of(prefix: str) -> Callable[[str | None], str | None]:
    """The cursor of a list whose entries have ids with this prefix, as ``ids.new_id`` makes them. Raises Malformed."""

    def cursor(cursor: Cursor) -> str | None:
        if cursor is not None and not re.fullmatch(rf"{prefix}_[0-9a-f]{{26}}", cursor):
            raise Malformed(f"the cursor {cursor!r} is not one of ours: take next_cursor of the page before")
        return cursor

    return cursor


EXPECT = {
    "name": "Expect",
    "in": "header",
    "required": False,
    "description": "`100-continue`: the body is sent only after the key was found good.",
    "schema": {"type": "string"},
}
"""A header that uploads may have, as OpenAPI's parameter.

Clients by openapi-python-client 0.29 lack an import where an operation takes two kinds of bodies and nothing optional.
"""


def request_body(content: dict[str, object]) -> dict[str, object]:
    """OpenAPI's ``requestBody``, by media type, for a body that the handler reads itself."""
    return {"requestBody": {"required": True, "content": content}}
