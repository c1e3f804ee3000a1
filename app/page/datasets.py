"""Data sets: the list, one with what is in it and what was made of it, uploading one, deleting one."""

from functools import partial
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from app.api import documents
from app.api.deps import Cursor, EntryId, OpenServices, Services
from app.auth import Scope
from app.errors import UnsupportedMedia
from app.intake import uploads
from app.intake.registration import DatasetIn
from app.page.catalogue import leads, uses
from app.page.guard import Form, Posting, SignedIn
from app.page.rendering import render
from app.page.routing import PageRoute
from app.record import catalog
from app.record.tables import Dataset

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE = 50
SAMPLES = 24
"""Shown of one data set."""
_TEXT_PARTS = frozenset({"name", "on_unreadable"})


@router.get("/datasets")
def show_datasets(request: Request, visitor: SignedIn, services: OpenServices, cursor: Cursor) -> Response:
    """The tenant's data sets, newest first, and where to upload one."""
    with services.database.read() as session:
        found, following = catalog.page(session, Dataset, visitor.tenant, cursor, PAGE)
    return render(request, "datasets.html.jinja", visitor, rows=found, following=following, newest=cursor is None)


@router.post("/datasets")
async def upload_dataset(request: Request, visitor: Posting, services: OpenServices) -> Response:
    """Take an archive as the API does: streamed to a file, checked and indexed before the answer."""
    if documents.media_type(request) != "multipart/form-data":
        raise UnsupportedMedia("a data set is uploaded as multipart/form-data")
    folder = services.settings.data_dir / "uploads"
    async with uploads.receive(request, folder, services.settings.max_upload_bytes, _TEXT_PARTS) as upload:
        given = await run_in_threadpool(documents.validated, DatasetIn, _given(upload.fields))
        work = partial(services.registrar.upload_dataset, visitor.principal, upload, given)
        row = await to_thread.run_sync(work, limiter=services.uploading)
    return Response(status_code=201, headers={"Location": f"/datasets/{row.id}"})


@router.get("/datasets/{id}")
def show_dataset(request: Request, visitor: SignedIn, services: OpenServices, dataset_id: EntryId) -> Response:
    """One data set: its classes, its parts, some of its samples, and the jobs that used it."""
    with services.database.read() as session:
        row = catalog.get(session, Dataset, visitor.tenant, dataset_id)
        used = uses(session, visitor.tenant, row.id)
    sees = visitor.principal.may(Scope.IMAGES)
    held = _held(services, row) if row.key is not None else {"samples": [], "parts": {}}
    return render(request, "dataset.html.jinja", visitor, row=row, uses=used, sees=sees, leads=leads, **held)


@router.post("/datasets/{id}/delete")
def delete_dataset(visitor: SignedIn, services: OpenServices, dataset_id: EntryId, _form: Form) -> Response:
    """Forget it and its files, and go back to the list. Raises InUse while a job needs it."""
    with services.database.write() as session:
        catalog.delete(session, Dataset, visitor.tenant, dataset_id)
    return RedirectResponse("/datasets", 303)


def _given(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _held(services: Services, row: Dataset) -> dict[str, Any]:
    """Of an uploaded data set: some samples, and how many there are of each part that the archive names."""
    listing = services.archives.listing(row)
    counts = {part: listing.page(-1, 1, parts=[part])[1] for part in ("train", "validation", "test")}
    return {
        "samples": listing.page(-1, SAMPLES)[0],
        "parts": {part: count for part, count in counts.items() if count},
    }
