"""What keeps the service running, for keys with the scope ``admin``: keys, workers, the store, limits."""

import re
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import auth
from app.api.deps import EntryId, OpenServices, Services
from app.auth import Scope
from app.errors import NotFound
from app.page import words
from app.page.guard import OwnForm, SignedIn, Visitor
from app.page.questions import of_revocation
from app.page.rendering import render
from app.page.routing import PageRoute
from app.page.status import BFLOAT16_BY
from app.record import db, ids
from app.record.progress import ALIVE_SECONDS
from app.record.tables import ApiKey, Worker
from app.settings import Settings
from app.store.objects import StoreUnavailable
from negmerge.naming import is_seen

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_DAYS = 3650
"""Of a key that is made here and has an end."""
_ID = re.compile(r"key_[0-9a-f]{26}")
_SIZES = (
    "max_upload_bytes",
    "max_archive_bytes",
    "max_body_bytes",
    "max_match_bytes",
    "max_copies_bytes",
    "min_free_bytes",
)
_OTHERS = ("max_archive_files", "max_match_files", "max_attempts", "lease_seconds", "page_session_seconds")
_SCOPES = {
    Scope.READ: "look at everything but pictures",
    Scope.WRITE: "begin, cancel, upload, delete",
    Scope.IMAGES: "see what pictures show",
    Scope.ADMIN: "all of that, and this page",
}


class Limit(NamedTuple):
    """A setting that bounds something: its variable, its value in words, and what it means."""

    variable: str
    value: str
    meaning: str


class Room(NamedTuple):
    """A disk: what lies there, and how much is free of how much, in bytes."""

    what: str
    free: int
    total: int


def administrator(visitor: SignedIn) -> Visitor:
    """Who is signed in, with a key that may administer. Raises NotSignedIn, Forbidden."""
    visitor.principal.require(Scope.ADMIN)
    return visitor


Administrator = Annotated[Visitor, Depends(administrator)]


@router.get("/admin")
def show_admin(request: Request, visitor: Administrator, services: OpenServices) -> Response:
    """All of it."""
    return _page(request, visitor, services)


@router.post("/admin/keys")
def make_key(request: Request, visitor: Administrator, services: OpenServices, form: OwnForm) -> Response:
    """Make a key of the visitor's tenant, and show it in this answer and never again.

    The form holds the key's id, so that one that is sent twice, as by loading the answer again, makes one key.
    """
    once = form.get("once", "")
    name, scopes = form.get("name", "").strip(), [scope for scope in Scope if f"scope.{scope.value}" in form]
    wrong: dict[str, str] = {}
    if not (0 < len(name) <= 200 and is_seen(name)):
        wrong["name"] = "give a name of at most 200 characters, all of which can be seen"
    if not scopes:
        wrong["scopes"] = "choose what the key may do"
    if (days := _days(form.get("days", ""))) is None:
        wrong["days"] = f"give a whole number of days from 1 to {MAX_DAYS}, or leave it empty for a key without an end"
    if not _ID.fullmatch(once):
        wrong["name"] = "this form is not the page's own: load the page again"
    if wrong:
        return _page(request, visitor, services, form=form, wrong=wrong, status=422)
    with services.database.write() as session:
        if session.get(ApiKey, once) is not None:
            return _page(request, visitor, services, again=True)
        end = db.now(session) + timedelta(days=days) if days else None
        _, key = auth.create_key(session, name, visitor.tenant, scopes, end, key_id=once)
    return _page(request, visitor, services, made=key)


@router.get("/admin/keys/{id}/revoke")
def ask_to_revoke(request: Request, visitor: Administrator, services: OpenServices, key_id: EntryId) -> Response:
    """The question before it, as a page. Raises NotFound."""
    with services.database.read() as session:
        question = of_revocation(_own(session, visitor, key_id), key_id == visitor.principal.key_id)
    return render(request, "confirm.html.jinja", visitor, question=question)


@router.post("/admin/keys/{id}/revoke")
def revoke_key(visitor: Administrator, services: OpenServices, key_id: EntryId, _form: OwnForm) -> Response:
    """Let a key of the visitor's tenant in no more. Raises NotFound."""
    with services.database.write() as session:
        auth.revoke_key(session, _own(session, visitor, key_id).id)
    return RedirectResponse("/admin", 303)


def limits(settings: Settings) -> list[Limit]:
    """The settings that bound what people send and what it may cost."""
    return [
        Limit(
            f"NEGMERGE_{name.upper()}",
            _said(name, getattr(settings, name)),
            (Settings.model_fields[name].description or "").replace("`", ""),  # which the guide reads as Markdown
        )
        for name in (*_SIZES, *_OTHERS)
    ]


def _own(session: Session, visitor: Visitor, key_id: str) -> ApiKey:
    row = session.get(ApiKey, key_id)
    if row is None or row.tenant != visitor.tenant:
        raise NotFound(f"there is no API key {key_id!r}")
    return row


def _said(name: str, value: float) -> str:
    if name in _SIZES:
        return words.size(int(value))
    return words.duration(value) if name.endswith("_seconds") else f"{value:,}".replace(",", "\u202f")


def _page(
    request: Request,
    visitor: Visitor,
    services: Services,
    *,
    made: str = "",
    again: bool = False,
    form: dict[str, str] | None = None,
    wrong: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    with services.database.read() as session:
        now = db.now(session)
        keys = list(session.scalars(select(ApiKey).where(ApiKey.tenant == visitor.tenant).order_by(ApiKey.id.desc())))
        workers = _workers(session)
    return render(
        request,
        "admin.html.jinja",
        visitor,
        status,
        keys=keys,
        now=now,
        made=made,
        again=again,
        once=ids.new_id("key"),
        questions={row.id: of_revocation(row, row.id == visitor.principal.key_id) for row in keys},
        form=form or {},
        wrong=wrong or {},
        scopes=_SCOPES,
        workers=workers,
        bfloat16_by=BFLOAT16_BY,
        rooms=_rooms(services),
        store=_store(services),
        limits=limits(services.settings),
    )


def _workers(session: Session) -> list[Worker]:
    """Those that were seen just now, the oldest first."""
    alive = Worker.seen_at > db.now(session) - timedelta(seconds=ALIVE_SECONDS)
    return list(session.scalars(select(Worker).where(alive).order_by(Worker.started_at)))


def _rooms(services: Services) -> list[Room]:
    places: dict[str, Path] = {"The data directory": services.settings.data_dir}
    if services.store.folder is not None:
        places["The store"] = services.store.folder
    found = {what: shutil.disk_usage(place) for what, place in places.items() if place.exists()}
    return [Room(what, usage.free, usage.total) for what, usage in found.items()]


def _store(services: Services) -> str:
    """How the store is. Its address may carry a password, so nothing of it is shown."""
    try:
        services.store.check()
    except StoreUnavailable as error:
        return f"It does not answer: {error}"
    return "It answers: " + ("a folder on this machine." if services.store.folder is not None else "an object store.")


def _days(text: str) -> int | None:
    """How many days; 0 for none; None for what is no such number."""
    if not text.strip():
        return 0
    days = int(text) if text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 6 else 0
    return days if 1 <= days <= MAX_DAYS else None
