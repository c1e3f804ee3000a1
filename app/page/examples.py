"""A few forgotten and kept samples of a job: what the model took them for, before and after, and how they look."""

from typing import Annotated, Literal, NamedTuple

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from pydantic import ValidationError

from app.api.deps import EntryId, OpenServices, Services
from app.auth import Scope
from app.errors import NotFound
from app.page.guard import SignedIn, Visitor
from app.page.pictures import picture
from app.page.routing import PageRoute
from app.record import catalog, jobs
from app.record.tables import Artifact, Dataset, Job
from negmerge.spec.examples import Example, Examples
from negmerge.spec.figures import SideName

router = APIRouter(route_class=PageRoute, include_in_schema=False)

FILE = "examples.json"
_MAX_BYTES = 2**20


class Picture(NamedTuple):
    """A sample as the view shows it; ``address`` of its picture, where the visitor may see one."""

    example: Example
    address: str | None

    @property
    def changed(self) -> bool:
        """Whether the model takes it for something else than before."""
        return self.example.before != self.example.after


def pictures(job: Job, examples: Examples | None, visitor: Visitor) -> dict[SideName, list[Picture]]:
    """Both sides' samples. Pictures need the scope ``images``, and a data set that the service holds."""
    if examples is None:
        return {}
    sides: dict[SideName, list[Example]] = {"forget": examples.forget, "retain": examples.retain}
    found: dict[SideName, list[Picture]] = {}
    for side, shown in sides.items():
        seen = visitor.principal.may(Scope.IMAGES) and job.spec[side].get("dataset")
        address = f"/jobs/{job.id}/pictures/{side}/" if seen else None
        found[side] = [Picture(one, address and f"{address}{place}") for place, one in enumerate(shown)]
    return found


def examples_of(services: Services, job_id: str) -> Examples | None:
    """What the job left of them; None where it is of a version that left none."""
    with services.database.read() as session:
        file = session.get(Artifact, (job_id, FILE))
    if file is None or file.bytes > _MAX_BYTES:
        return None
    try:
        return Examples.model_validate_json(services.store.read(file.key))
    except ValidationError:
        return None


@router.get("/jobs/{id}/pictures/{side}/{place}")
async def get_picture(
    request: Request,
    visitor: SignedIn,
    services: OpenServices,
    job_id: EntryId,
    side: Literal["forget", "retain"],
    place: Annotated[int, Path(ge=0, lt=1000)],
) -> Response:
    """How one of the samples looks, small. Needs the scope ``images``."""
    visitor.principal.require(Scope.IMAGES)
    asked = (request, services, visitor, job_id, side, place)
    return await to_thread.run_sync(_picture, *asked, limiter=services.looking)


def _picture(
    request: Request, services: Services, visitor: Visitor, job_id: str, side: SideName, place: int
) -> Response:
    with services.database.read() as session:
        job = jobs.get(session, visitor.tenant, job_id)
        dataset = job.spec[side].get("dataset")
        row = None if not dataset else catalog.get(session, Dataset, visitor.tenant, dataset)
    examples = examples_of(services, job_id)
    shown = [] if examples is None else getattr(examples, side)
    if row is None or place >= len(shown):
        raise NotFound(f"job {job_id!r} has no such picture")
    return picture(request, services, row, services.thumbnails.find(row, shown[place].id))
