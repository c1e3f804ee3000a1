"""What data sets and models have in common on the page: their lists, the two ways in, what was made of one, its end."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.api import documents
from app.api.deps import Services
from app.auth import Principal
from app.errors import Invalid, UnsupportedMedia
from app.intake import uploads
from app.intake.uploads import Upload
from app.page import words
from app.page.guard import Visitor
from app.page.parts import Part, Parts, parts
from app.page.questions import of_deletion
from app.page.rendering import render
from app.page.status import Status, status
from app.record import catalog, db
from app.record.catalog import Entry
from app.record.progress import progress
from app.record.tables import Dataset, Job, Model
from app.settings import Settings

PAGE = 50
"""Data sets or models on one page of their list."""
MOST_JOBS = 50
"""The latest; the list of jobs finds the others."""

Kind = type[Dataset] | type[Model]
Shape = TypeVar("Shape", bound=BaseModel)


class Use(NamedTuple):
    """A job that used a data set or a model: from which, by which, to what."""

    job: Job
    what: str
    parts: Parts
    status: Status


def listed(
    request: Request,
    visitor: Visitor,
    services: Services,
    kind: type[Entry],
    *,
    cursor: str | None = None,
    form: Mapping[str, str] | None = None,
    refusal: Invalid | None = None,
) -> Response:
    """The tenant's entries, newest first, and where one comes in; with a form that was refused, what is wrong in it."""
    with services.database.read() as session:
        found, following = catalog.page(session, kind, visitor.tenant, cursor, PAGE)
    shown: dict[str, Any] = {
        "rows": found,
        "following": following,
        "newest": cursor is None,
        "form": form or {},
        "wrong": {} if refusal is None else _told(refusal),
        "allowed": addresses(services.settings, kind),
    }
    return render(request, f"{kind.__tablename__}.html.jinja", visitor, 422 if refusal else 200, **shown)


@asynccontextmanager
async def received(request: Request, services: Services, text_parts: Sequence[str]) -> AsyncIterator[Upload]:
    """A file that was sent from the page, as ``uploads.receive``; a field that was left empty was not given."""
    if documents.media_type(request) != "multipart/form-data":
        raise UnsupportedMedia("a file is uploaded as multipart/form-data")
    settings = services.settings
    folder = settings.data_dir / "uploads"
    async with uploads.receive(request, folder, settings.max_upload_bytes, frozenset(text_parts)) as upload:
        yield replace(upload, fields=filled(upload.fields))


def filled(fields: Mapping[str, str]) -> dict[str, str]:
    """The fields in which something stands, without spaces around it."""
    return {name: text.strip() for name, text in fields.items() if text.strip()}


def kept(kind: Kind, entry_id: str) -> Response:
    """What a script that uploaded is told: where its entry is."""
    return Response(status_code=201, headers={"Location": address(kind, entry_id)})


def registered(
    request: Request,
    visitor: Visitor,
    services: Services,
    kind: type[Entry],
    form: Mapping[str, str],
    shape: type[Shape],
    register: Callable[[Principal, Shape], Entry],
) -> Response:
    """Register what the form names, and go to it; what is wrong in the form is told beside its fields, in the list."""
    try:
        row = register(visitor.principal, documents.validated(shape, filled(form)))
    except Invalid as error:
        return listed(request, visitor, services, kind, form=form, refusal=error)
    return RedirectResponse(address(kind, row.id), 303)


def ask_to_delete(request: Request, visitor: Visitor, services: Services, kind: type[Entry], entry_id: str) -> Response:
    """The question before an entry is deleted, as a page."""
    with services.database.read() as session:
        row = catalog.get(session, kind, visitor.tenant, entry_id)
    return render(request, "confirm.html.jinja", visitor, question=of_deletion(row))


def delete(services: Services, visitor: Visitor, kind: type[Entry], entry_id: str) -> Response:
    """Forget an entry and its files, and go back to the list. Raises InUse while a job needs it."""
    with services.database.write() as session:
        catalog.delete(session, kind, visitor.tenant, entry_id)
    return RedirectResponse(f"/{kind.__tablename__}", 303)


def address(kind: Kind, entry_id: str) -> str:
    """Where the page shows an entry."""
    return f"/{kind.__tablename__}/{entry_id}"


def addresses(settings: Settings, kind: Kind) -> list[str]:
    """How the addresses begin that the operator lets people name; a hub has models alone."""
    stores = sorted({f"{place.partition('://')[0]}://" for place in settings.allowed_buckets})
    return [
        *(["https://"] if settings.allowed_hosts else []),
        *stores,
        *(["file:///"] if settings.allowed_roots else []),
        *(["hf-hub:OWNER/NAME@COMMIT"] if settings.hub_endpoint and kind is Model else []),
    ]


def _told(error: Invalid) -> dict[str, str]:
    """What is wrong by the field of the form; of what is none of them, by ``""``."""
    found: dict[str, str] = {}
    for wrong in error.errors:
        field = wrong.pointer.strip("/").partition("/")[0]
        found[field] = f"{found[field]}; {wrong.detail}" if field in found else wrong.detail
    return found or {"": error.detail}


def uses(session: Session, tenant: str, entry_id: str) -> list[Use]:
    """The tenant's latest jobs whose spec names the data set or model."""
    base = Job.spec["base_model"]["weights"].as_string() == entry_id
    sides = (Job.spec[side]["dataset"].as_string() == entry_id for side in ("forget", "retain"))
    named = select(Job).where(Job.tenant == tenant, Job.deleted_at.is_(None), or_(base, *sides))
    rows = list(session.scalars(named.order_by(Job.created_at.desc(), Job.id.desc()).limit(MOST_JOBS)))
    told, now = progress(session, rows), db.now(session)
    return [
        Use(row, words.forgets(row.spec), parts(session, row), status(row, told[row.id], None, now)) for row in rows
    ]


def leads(part: Part) -> str | None:
    """The address of a data set's or a model's own page; None for what is gone, or is no row."""
    if part.id is None:
        return None
    return f"/{'models' if part.id.startswith('mdl_') else 'datasets'}/{part.id}"
