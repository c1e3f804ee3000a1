"""Data sets: the list, one with what is in it and what was made of it, bringing one in, deleting one."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api import documents, rows
from app.api.deps import Cursor, EntryId, OpenServices, Services
from app.auth import Scope
from app.intake.registration import DatasetIn
from app.page import catalogue
from app.page.catalogue import leads, uses
from app.page.guard import Form, Posting, SignedIn, Writer
from app.page.questions import of_deletion
from app.page.rendering import render
from app.page.routing import PageRoute
from app.record import catalog
from app.record.tables import Dataset

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SAMPLES = 24
"""Shown of one data set."""


@router.get("/datasets")
def show_datasets(request: Request, visitor: SignedIn, services: OpenServices, cursor: Cursor) -> Response:
    """The tenant's data sets, newest first, and where one comes in."""
    return catalogue.listed(request, visitor, services, Dataset, cursor=cursor)


@router.post("/datasets")
async def upload_dataset(request: Request, visitor: Posting, services: OpenServices) -> Response:
    """Take an archive as the API does: streamed to a file, checked and indexed before the answer."""
    async with catalogue.received(request, services, ("name", "templates", "on_unreadable")) as upload:
        given = await run_in_threadpool(documents.validated, DatasetIn, _given(upload.fields))
        work = partial(services.registrar.upload_dataset, visitor.principal, upload, given)
        row = await to_thread.run_sync(work, limiter=services.uploading)
    return catalogue.kept(Dataset, row.id)


@router.post("/datasets/register")
def register_dataset(request: Request, visitor: Writer, services: OpenServices, form: Form) -> Response:
    """Take the address of one as the API does: the data are read when a job needs them."""
    register = services.registrar.register_dataset
    return catalogue.registered(request, visitor, services, Dataset, form, DatasetIn, register)


@router.get("/datasets/{id}")
def show_dataset(request: Request, visitor: SignedIn, services: OpenServices, dataset_id: EntryId) -> Response:
    """One data set: its classes, its parts, some of its samples, and the jobs that used it."""
    with services.database.read() as session:
        row = catalog.get(session, Dataset, visitor.tenant, dataset_id)
        used = uses(session, visitor.tenant, row.id)
    sees = visitor.principal.may(Scope.IMAGES)
    held = _held(services, row) if row.key is not None else {"samples": [], "parts": {}}
    return render(
        request,
        "dataset.html.jinja",
        visitor,
        row=row,
        question=of_deletion(row),
        uses=used,
        sees=sees,
        leads=leads,
        note=rows.dataset(row).note,
        **held,
    )


@router.get("/datasets/{id}/delete")
def ask_to_delete_dataset(request: Request, visitor: Writer, services: OpenServices, dataset_id: EntryId) -> Response:
    """The question before it, as a page."""
    return catalogue.ask_to_delete(request, visitor, services, Dataset, dataset_id)


@router.post("/datasets/{id}/delete")
def delete_dataset(visitor: SignedIn, services: OpenServices, dataset_id: EntryId, _form: Form) -> Response:
    """Forget it and its files, and go back to the list. Raises InUse while a job needs it."""
    return catalogue.delete(services, visitor, Dataset, dataset_id)


def _given(fields: Mapping[str, str]) -> dict[str, Any]:
    """What was filled in. Prompts stand a line each."""
    given: dict[str, Any] = dict(fields)
    if "templates" in given:
        given["templates"] = [line.strip() for line in fields["templates"].splitlines() if line.strip()]
    return given


def _held(services: Services, row: Dataset) -> dict[str, Any]:
    """Of an uploaded data set: samples of many classes, and how many there are of each part that it names."""
    listing = services.archives.listing(row)
    counts = {part: listing.page(-1, 1, parts=[part])[1] for part in ("train", "validation", "test")}
    some = list(row.classes or {})[:SAMPLES]
    each = (
        [listing.page(-1, SAMPLES // len(some), [name])[0] for name in some] if some else [listing.page(-1, SAMPLES)[0]]
    )
    return {
        "samples": [sample for found in each for sample in found],
        "parts": {part: count for part, count in counts.items() if count},
    }
