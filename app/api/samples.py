"""The samples of a data set: pages of them, and what each shows."""

import re
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from app import errors
from app.api import documents, rows
from app.api.deps import Caller, EntryId, Limit, OpenServices, Services, request_body, viewer
from app.api.headers import header, names
from app.api.problems import documented
from app.auth import Principal
from app.errors import Invalid, Malformed, UnsupportedMedia
from app.intake import uploads
from app.pictures.thumbnails import MEDIA_TYPE
from app.record import catalog
from app.record.tables import Dataset
from negmerge.data.classes import called
from negmerge.errors import FieldError
from negmerge.naming import shown
from negmerge.spec.resources import Matches, SamplePage

router = APIRouter(prefix="/v1", tags=["datasets"])

_THUMBNAIL: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture as a model sees it, 160 pixels at most on its longer side.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "headers": {"ETag": {"schema": {"type": "string"}, "description": "Weak."}},
    },
    304: {"description": "The client has this picture already."},
}
_SECONDS = 300
_PICTURES = request_body(
    {
        "multipart/form-data": {
            "schema": {
                "title": "PicturesToFind",
                "example": {"file": ["(the bytes of IMG_0012.jpg)", "(the bytes of holiday.zip)"]},
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Pictures, or zip, tar or tar.gz of pictures, each as a part of this name.",
                    }
                },
            }
        }
    }
)


def _cursor(
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> int:
    """The number of the last sample of the page before; -1 for the first page."""
    if cursor is None:
        return -1
    if not re.fullmatch(r"after_[0-9]{1,12}", cursor):
        raise Malformed(f"the cursor {cursor!r} is not one of ours: take next_cursor of the page before")
    return int(cursor.removeprefix("after_"))


@router.get(
    "/datasets/{id}/samples",
    response_model=SamplePage,
    responses=documented(errors.NotFound, errors.NotUploaded),
)
def list_dataset_samples(
    caller: Caller,
    services: OpenServices,
    dataset_id: EntryId,
    after: Annotated[int, Depends(_cursor)],
    classes: Annotated[
        list[str] | None, Query(alias="class", max_length=100, description="Of this class; of any, if given again.")
    ] = None,
    parts: Annotated[
        list[Literal["train", "validation", "test"]] | None,
        Query(alias="part", max_length=3, description="Of this part of the archive; of any, if given again."),
    ] = None,
    limit: Limit = 100,
) -> SamplePage:
    """The samples of an uploaded data set by id, and how many there are of these classes and parts."""
    row = _row(services, caller, dataset_id)
    listing = services.archives.listing(row)
    found, total = listing.page(after, limit + 1, _known(row, classes or []), parts or [])
    page = [rows.sample(dataset_id, one) for one in found[:limit]]
    following = f"after_{found[limit - 1].number}" if len(found) > limit else None
    return SamplePage(data=page, next_cursor=following, total=total)


def _known(row: Dataset, classes: list[str]) -> list[str]:
    """The classes in the form that the data set has them. Raises Invalid."""
    known = row.classes or {}
    found = [called(name, known) for name in classes]
    if unknown := [name for name in found if name not in known]:
        told = f"the data set has no class {shown(unknown[0])}"
        raise Invalid(told, [FieldError("#query/class", told)])
    return found


@router.post(
    "/datasets/{id}/match",
    response_model=Matches,
    responses=documented(
        errors.NotFound,
        errors.NotUploaded,
        errors.UnreadablePicture,
        errors.TooLarge,
        errors.UnsupportedMedia,
        errors.StillHashing,
    ),
    openapi_extra=_PICTURES,
)
async def match_pictures(
    request: Request, services: OpenServices, caller: Annotated[Principal, Depends(viewer)], dataset_id: EntryId
) -> Matches:
    """Find the samples that are, or look like, these pictures. Needs the scopes `read` and `images`, and
    not `write`; nothing of them is kept."""
    row = await run_in_threadpool(_row, services, caller, dataset_id)
    if documents.media_type(request) != "multipart/form-data":
        raise UnsupportedMedia("send the pictures as multipart/form-data, each as a part 'file'")
    key, settings = await services.matcher.hashes(row), services.settings
    folder = settings.data_dir / "uploads"
    async with uploads.receive_files(request, folder, settings.max_match_bytes, settings.max_match_files) as files:
        named = [(file.filename, file.path) for file in files]
        return await to_thread.run_sync(services.matcher.match, row, key, named, limiter=services.looking)


def _row(services: Services, caller: Principal, dataset_id: str) -> Dataset:
    with services.database.read() as session:
        return catalog.get(session, Dataset, caller.tenant, dataset_id)


@router.get(
    "/datasets/{id}/samples/{sample:path}/thumbnail",
    response_class=Response,
    responses={**documented(errors.NotFound, errors.NotUploaded, errors.UnreadablePicture), **_THUMBNAIL},
)
async def get_sample_thumbnail(
    request: Request,
    services: OpenServices,
    caller: Annotated[Principal, Depends(viewer)],
    dataset_id: EntryId,
    sample_id: Annotated[
        str,
        Path(alias="sample", description="The sample's id, percent-encoded; its slashes may stay or be `%2F`."),
    ],
) -> Response:
    """What a sample shows, small. Needs the scope `images`."""
    return await to_thread.run_sync(
        _thumbnail, request, services, caller, dataset_id, sample_id, limiter=services.looking
    )


def _thumbnail(
    request: Request, services: OpenServices, caller: Principal, dataset_id: str, sample_id: str
) -> Response:
    row = _row(services, caller, dataset_id)
    sample = services.thumbnails.find(row, sample_id)
    etag = services.thumbnails.etag(row, sample)
    headers = {
        "ETag": f"W/{etag}",
        "Cache-Control": f"private, max-age={_SECONDS}",
        "Vary": "Authorization",
        "X-Content-Type-Options": "nosniff",
    }
    if names(header(request.headers, "if-none-match"), etag, weak=True):
        return Response(status_code=304, headers=headers)
    return Response(services.thumbnails.of(row, sample), headers=headers, media_type=MEDIA_TYPE)
