"""Models: the list, one with the jobs that unlearned from it, uploading one, deleting one."""

from functools import partial

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from app.api import documents
from app.api.deps import Cursor, EntryId, OpenServices
from app.errors import UnsupportedMedia
from app.intake import uploads
from app.page.catalogue import leads, uses
from app.page.datasets import PAGE
from app.page.guard import Form, Posting, SignedIn
from app.page.rendering import render
from app.page.routing import PageRoute
from app.record import catalog
from app.record.tables import Model

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/models")
def show_models(request: Request, visitor: SignedIn, services: OpenServices, cursor: Cursor) -> Response:
    """The tenant's models, newest first, and where to upload one."""
    with services.database.read() as session:
        found, following = catalog.page(session, Model, visitor.tenant, cursor, PAGE)
    return render(request, "models.html.jinja", visitor, rows=found, following=following, newest=cursor is None)


@router.post("/models")
async def upload_model(request: Request, visitor: Posting, services: OpenServices) -> Response:
    """Take a model's folder or its safetensors file with the config, as the API does."""
    if documents.media_type(request) != "multipart/form-data":
        raise UnsupportedMedia("a model is uploaded as multipart/form-data")
    folder, names = services.settings.data_dir / "uploads", frozenset({"name", "config"})
    async with uploads.receive(request, folder, services.settings.max_upload_bytes, names) as upload:
        for name in [name for name, text in upload.fields.items() if not text]:
            del upload.fields[name]  # a field that was left empty was not given
        work = partial(services.registrar.upload_model, visitor.principal, upload)
        row = await to_thread.run_sync(work, limiter=services.uploading)
    return Response(status_code=201, headers={"Location": f"/models/{row.id}"})


@router.get("/models/{id}")
def show_model(request: Request, visitor: SignedIn, services: OpenServices, model_id: EntryId) -> Response:
    """One model, and the jobs that unlearned from it."""
    with services.database.read() as session:
        row = catalog.get(session, Model, visitor.tenant, model_id)
        used = uses(session, visitor.tenant, row.id)
    return render(request, "model.html.jinja", visitor, row=row, uses=used, leads=leads)


@router.post("/models/{id}/delete")
def delete_model(visitor: SignedIn, services: OpenServices, model_id: EntryId, _form: Form) -> Response:
    """Forget it and its weights, and go back to the list. Raises InUse while a job needs it."""
    with services.database.write() as session:
        catalog.delete(session, Model, visitor.tenant, model_id)
    return RedirectResponse("/models", 303)
