"""Data sets: upload an archive or register a URI, list, look, delete."""

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from app import errors
from app.api import documents, rows
from app.api.deps import EXPECT, Caller, EntryId, Limit, OpenServices, cursor_of, request_body
from app.api.problems import documented
from app.intake import uploads
from app.intake.registration import DatasetIn
from app.record import catalog, tables
from negmerge.spec.resources import Dataset, Page

_Cursor = Annotated[str | None, Depends(cursor_of("ds"))]
router = APIRouter(prefix="/v1", tags=["datasets"])

_TEXT_PARTS = frozenset({"name", "class_names", "templates", "on_unreadable"})
_BODY = request_body(
    {
        "multipart/form-data": {
            "schema": {
                "title": "DatasetUpload",
                "example": {
                    "file": "(the bytes of digits.zip)",
                    "name": "digits",
                    "class_names": '{"7": "seven"}',
                    "templates": '["a photo of the digit {}."]',
                    "on_unreadable": "leave_out",
                },
                "description": "An upload; its parts come in any order.",
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary", "description": "zip, tar or tar.gz"},
                    "name": {"type": "string"},
                    "class_names": {"type": "string", "description": "JSON: folder → words of its prompt"},
                    "templates": {"type": "string", "description": "JSON: list of prompts with one {}"},
                    "on_unreadable": {"type": "string", "enum": ["refuse", "leave_out"]},
                },
            }
        },
        "application/json": {"schema": {"$ref": "#/components/schemas/DatasetIn"}},
    }
)


@router.post(
    "/datasets",
    status_code=201,
    response_model=Dataset,
    responses=documented(errors.TooLarge, errors.NoRoom, errors.UnsupportedMedia, errors.InvalidDataset),
    openapi_extra=_BODY | {"parameters": [EXPECT]},
)
async def create_dataset(request: Request, response: Response, caller: Caller, services: OpenServices) -> Dataset:
    """Upload an archive (a folder per class, or WebDataset), or register the URI of one.

    An upload is checked and indexed before the answer: what gets a 201 can be used.
    """
    settings, registrar = services.settings, services.registrar
    if documents.media_type(request) == "multipart/form-data":
        folder = settings.data_dir / "uploads"
        async with uploads.receive(request, folder, settings.max_upload_bytes, _TEXT_PARTS) as upload:
            given = await run_in_threadpool(_of_form, upload)
            upload_dataset = partial(registrar.upload_dataset, caller, upload, given)
            row = await to_thread.run_sync(upload_dataset, limiter=services.uploading)
    else:
        document = await documents.read(request, settings.max_body_bytes)
        given = await run_in_threadpool(documents.validated, DatasetIn, document.value)
        row = await run_in_threadpool(registrar.register_dataset, caller, given)
    response.headers["Location"] = f"/v1/datasets/{row.id}"
    return rows.dataset(row)


def _of_form(upload: uploads.Upload) -> DatasetIn:
    form = documents.form(upload.fields, frozenset({"class_names", "templates"}))
    return documents.validated(DatasetIn, form)


@router.get("/datasets", response_model=Page[Dataset], responses=documented())
def list_datasets(caller: Caller, services: OpenServices, cursor: _Cursor, limit: Limit = 20) -> Page[Dataset]:
    """The tenant's data sets, newest first."""
    with services.database.read() as session:
        found, following = catalog.page(session, tables.Dataset, caller.tenant, cursor, limit)
    return Page(data=[rows.dataset(row) for row in found], next_cursor=following)


@router.get("/datasets/{id}", response_model=Dataset, responses=documented(errors.NotFound))
def get_dataset(caller: Caller, services: OpenServices, dataset_id: EntryId) -> Dataset:
    """One data set."""
    with services.database.read() as session:
        return rows.dataset(catalog.get(session, tables.Dataset, caller.tenant, dataset_id))


@router.delete(
    "/datasets/{id}",
    status_code=204,
    response_model=None,
    response_description="The data set is gone.",
    responses=documented(errors.NotFound, errors.InUse),
)
def delete_dataset(caller: Caller, services: OpenServices, dataset_id: EntryId) -> None:
    """Forget a data set and its files. Not while a job needs it."""
    with services.database.write() as session:
        catalog.delete(session, tables.Dataset, caller.tenant, dataset_id)
