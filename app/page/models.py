"""Models: the list, one with the jobs that unlearned from it, bringing one in, deleting one."""

from functools import partial

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from app.api.deps import Cursor, EntryId, OpenServices
from app.intake.registration import ModelIn
from app.page import catalogue
from app.page.catalogue import leads, uses
from app.page.guard import Form, Posting, SignedIn, Writer
from app.page.questions import of_deletion
from app.page.rendering import render
from app.page.routing import PageRoute
from app.record import catalog
from app.record.tables import Model

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/models")
def show_models(request: Request, visitor: SignedIn, services: OpenServices, cursor: Cursor) -> Response:
    """The tenant's models, newest first, and where one comes in."""
    return catalogue.listed(request, visitor, services, Model, cursor=cursor)


@router.post("/models")
async def upload_model(request: Request, visitor: Posting, services: OpenServices) -> Response:
    """Take a model's folder or its safetensors file with the config, as the API does."""
    async with catalogue.received(request, services, ("name", "config")) as upload:
        work = partial(services.registrar.upload_model, visitor.principal, upload)
        row = await to_thread.run_sync(work, limiter=services.uploading)
    return catalogue.kept(Model, row.id)


@router.post("/models/register")
def register_model(request: Request, visitor: Writer, services: OpenServices, form: Form) -> Response:
    """Take an address or a registry's tag as the API does: the weights are fetched when a job needs them."""
    register = services.registrar.register_model
    return catalogue.registered(request, visitor, services, Model, form, ModelIn, register)


@router.get("/models/{id}")
def show_model(request: Request, visitor: SignedIn, services: OpenServices, model_id: EntryId) -> Response:
    """One model, and the jobs that unlearned from it."""
    with services.database.read() as session:
        row = catalog.get(session, Model, visitor.tenant, model_id)
        used = uses(session, visitor.tenant, row.id)
    return render(request, "model.html.jinja", visitor, row=row, question=of_deletion(row), uses=used, leads=leads)


@router.get("/models/{id}/delete")
def ask_to_delete_model(request: Request, visitor: Writer, services: OpenServices, model_id: EntryId) -> Response:
    """The question before it, as a page."""
    return catalogue.ask_to_delete(request, visitor, services, Model, model_id)


@router.post("/models/{id}/delete")
def delete_model(visitor: SignedIn, services: OpenServices, model_id: EntryId, _form: Form) -> Response:
    """Forget it and its weights, and go back to the list. Raises InUse while a job needs it."""
    return catalogue.delete(services, visitor, Model, model_id)
