"""How samples of a data set look, for visitors with the scope ``images``, and a person's pictures found in it."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api import documents
from app.api.deps import EntryId, OpenServices, Services
from app.api.headers import header, names
from app.auth import Scope
from app.errors import NotFound, UnsupportedMedia
from app.intake import uploads
from app.page.guard import FromHere, SignedIn, Visitor, posting
from app.page.rendering import render
from app.page.routing import PageRoute
from app.pictures.thumbnails import MEDIA_TYPE
from app.record import catalog
from app.record.tables import Dataset
from negmerge.data.listing import Listed

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def looking(visitor: SignedIn) -> Visitor:
    """Who is signed in, with a key that may see pictures. Raises NotSignedIn, Forbidden."""
    visitor.principal.require(Scope.IMAGES)
    return visitor


Looking = Annotated[Visitor, Depends(looking)]


def asking(request: Request, visitor: Looking, _first: FromHere) -> Visitor:
    """Who sends pictures to look for; the token is in the header, and judged before they are read. Raises Forbidden."""
    return posting(request, visitor, None)


@router.get("/datasets/{id}/classes/{place}/picture")
async def get_class_picture(
    request: Request,
    visitor: Looking,
    services: OpenServices,
    dataset_id: EntryId,
    place: Annotated[int, Path(ge=0, lt=10**6)],
) -> Response:
    """The first sample of a class. place: the class's number in the order of the data set."""
    return await to_thread.run_sync(_of_class, request, services, visitor, dataset_id, place, limiter=services.looking)


@router.get("/datasets/{id}/samples/{sample:path}/picture")
async def get_sample_picture(
    request: Request,
    visitor: Looking,
    services: OpenServices,
    dataset_id: EntryId,
    sample_id: Annotated[str, Path(alias="sample")],
) -> Response:
    """One sample, by its id."""
    asked = (request, services, visitor, dataset_id, sample_id)
    return await to_thread.run_sync(_of_sample, *asked, limiter=services.looking)


@router.post("/datasets/{id}/match")
async def match_pictures(
    request: Request, visitor: Annotated[Visitor, Depends(asking)], services: OpenServices, dataset_id: EntryId
) -> Response:
    """The samples that are, or look like, the pictures that were dropped, to be confirmed side by side."""
    row = await run_in_threadpool(_row, services, visitor, dataset_id)
    if documents.media_type(request) != "multipart/form-data":
        raise UnsupportedMedia("the pictures are sent as multipart/form-data")
    key, settings = await services.matcher.hashes(row), services.settings
    folder = settings.data_dir / "uploads"
    async with uploads.receive_files(request, folder, settings.max_match_bytes, settings.max_match_files) as files:
        named = [(file.filename, file.path) for file in files]
        found = await to_thread.run_sync(services.matcher.match, row, key, named, limiter=services.looking)
    return render(request, "matches.html.jinja", visitor, dataset=row, matches=found.matches)


def picture(request: Request, services: Services, row: Dataset, sample: Listed) -> Response:
    """How a sample looks, small. A browser may keep it, and asks each time whether its visitor may see it still."""
    etag = services.thumbnails.etag(row, sample)
    headers = {"ETag": f"W/{etag}", "Cache-Control": "private, no-cache"}
    if names(header(request.headers, "if-none-match"), etag, weak=True):
        return Response(status_code=304, headers=headers)
    return Response(services.thumbnails.of(row, sample), headers=headers, media_type=MEDIA_TYPE)


def _of_class(request: Request, services: Services, visitor: Visitor, dataset_id: str, place: int) -> Response:
    row = _row(services, visitor, dataset_id)
    name = next((name for number, name in enumerate(row.classes or {}) if number == place), None)
    found = [] if name is None else services.archives.listing(row).page(-1, 1, [name])[0]
    if not found:
        raise NotFound(f"the data set {row.id} has no such class, or no sample of it")
    return picture(request, services, row, found[0])


def _of_sample(request: Request, services: Services, visitor: Visitor, dataset_id: str, sample_id: str) -> Response:
    row = _row(services, visitor, dataset_id)
    return picture(request, services, row, services.thumbnails.find(row, sample_id))


def _row(services: Services, visitor: Visitor, dataset_id: str) -> Dataset:
    with services.database.read() as session:
        return catalog.get(session, Dataset, visitor.tenant, dataset_id)
