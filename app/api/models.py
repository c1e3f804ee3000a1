"""Models: upload weights with their config, register a URI or a registry tag, list, look, delete."""

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
from app.intake.registration import ModelIn
from app.record import catalog, tables
from negmerge.spec.resources import Model, Page

_Cursor = Annotated[str | None, Depends(cursor_of("mdl"))]
router = APIRouter(prefix="/v1", tags=["models"])

_BODY = request_body(
    {
        "multipart/form-data": {
            "schema": {
                "title": "ModelUpload",
                "example": {"file": "(the bytes of clip.zip)", "name": "clip"},
                "description": "An upload; its parts come in any order.",
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "zip or tar of an open_clip or timm folder, or one safetensors file",
                    },
                    "config": {
                        "type": "string",
                        "description": "JSON, beside a safetensors file: what open_clip_config.json would hold, "
                        "or timm's config.json",
                    },
                    "name": {"type": "string", "maxLength": 200},
                },
            }
        },
        "application/json": {"schema": {"$ref": "#/components/schemas/ModelIn"}},
    }
)


@router.post(
    "/models",
    status_code=201,
    response_model=Model,
    responses=documented(errors.TooLarge, errors.NoRoom, errors.UnsupportedMedia, errors.InvalidModel),
    openapi_extra=_BODY | {"parameters": [EXPECT]},
)
async def create_model(request: Request, response: Response, caller: Caller, services: OpenServices) -> Model:
    """Upload a model's folder or its safetensors file with the config, or register a URI or a tag.

    The config says the family: CLIP models have a `model_cfg` (open_clip), classifiers an `architecture` (timm).
    Weights are safetensors, never a pickle, and finite. Whether they fit the architecture to the last tensor,
    the first job says.
    """
    settings, registrar = services.settings, services.registrar
    if documents.media_type(request) == "multipart/form-data":
        folder, parts = settings.data_dir / "uploads", frozenset({"name", "config"})
        async with uploads.receive(request, folder, settings.max_upload_bytes, parts) as upload:
            upload_model = partial(registrar.upload_model, caller, upload)
            row = await to_thread.run_sync(upload_model, limiter=services.uploading)
    else:
        document = await documents.read(request, settings.max_body_bytes)
        given = await run_in_threadpool(documents.validated, ModelIn, document.value)
        row = await run_in_threadpool(registrar.register_model, caller, given)
    response.headers["Location"] = f"/v1/models/{row.id}"
    return rows.model(row)


@router.get("/models", response_model=Page[Model], responses=documented())
def list_models(caller: Caller, services: OpenServices, cursor: _Cursor, limit: Limit = 20) -> Page[Model]:
    """The tenant's models, newest first."""
    with services.database.read() as session:
        found, following = catalog.page(session, tables.Model, caller.tenant, cursor, limit)
    return Page(data=[rows.model(row) for row in found], next_cursor=following)


@router.get("/models/{id}", response_model=Model, responses=documented(errors.NotFound))
def get_model(caller: Caller, services: OpenServices, model_id: EntryId) -> Model:
    """One model."""
    with services.database.read() as session:
        return rows.model(catalog.get(session, tables.Model, caller.tenant, model_id))


@router.delete(
    "/models/{id}",
    status_code=204,
    response_model=None,
    response_description="The model is gone.",
    responses=documented(errors.NotFound, errors.InUse),
)
def delete_model(caller: Caller, services: OpenServices, model_id: EntryId) -> None:
    """Forget a model and its weights. Not while a job needs it."""
    with services.database.write() as session:
        catalog.delete(session, tables.Model, caller.tenant, model_id)
