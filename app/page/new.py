"""A new request: what must go, what must stay, how strict, which sweep; what it would cost, and sending it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.api import documents, submissions
from app.api.deps import OpenServices, Services
from app.auth import Scope
from app.errors import Invalid, InvalidSpec, Malformed, NotFound
from app.page import asking, lists, shown_as
from app.page.guard import LongForm, Visitor, Writer
from app.page.rendering import render
from app.page.routing import PageRoute
from app.record import catalog
from app.record.tables import Dataset, Model
from negmerge.data.listing import Listed
from negmerge.errors import FieldError
from negmerge.spec import presets
from negmerge.spec.job_resources import DryRun

router = APIRouter(route_class=PageRoute, include_in_schema=False)

SAMPLES = 24
"""On one page of the picker."""
MAX_TILES = 1000
"""Classes that are shown as tiles; of more, those behind them are listed by name. A form may have ``MAX_FIELDS``."""
_ONCE = re.compile(r"[0-9a-f]{32}")


@dataclass
class Answer:
    """What a form is told: what it would cost, how else it is sent, and what is wrong by the field that is at fault."""

    cost: DryRun | None = None
    ways: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


class ChosenClasses(NamedTuple):
    """The classes that a form has chosen, and those of them that have no tile."""

    classes: frozenset[str]
    others: list[str]


class Offered(NamedTuple):
    """What a form chooses from. older: of which of the three there is more than is offered without a search."""

    datasets: Sequence[Dataset]
    retains: Sequence[Dataset]
    models: Sequence[Model]
    older: frozenset[str]


class Given(BaseModel):
    """What an address fills in: the two data sets and the model, and what older ones are searched for by."""

    dataset: str = Field("", max_length=40)
    retain: str = Field("", max_length=40)
    model: str = Field("", max_length=40)
    find_dataset: str = Field("", max_length=200)
    find_retain: str = Field("", max_length=200)
    find_model: str = Field("", max_length=200)


@router.get("/new")
def show_new(
    request: Request,
    visitor: Writer,
    services: OpenServices,
    given: Annotated[Given, Query()],
) -> Response:
    """An empty form, or one of these data sets and this model."""
    filled = {name: value for name, value in given.model_dump().items() if value}
    return _page(request, visitor, services, asking.blank() | filled, Answer())


@router.post("/new")
def send_new(request: Request, visitor: Writer, services: OpenServices, form: LongForm) -> Response:
    """Begin the job, or only say what it would cost: where the button says so, or a script asks for that part."""
    form = asking.blank() | form
    answer = Answer()
    try:
        document = _document(services, visitor, form)
        answer.ways = shown_as.ways(document, str(request.base_url).rstrip("/"))
        about = submissions.judged(services, visitor.tenant, submissions.parsed(services, visitor.tenant, document))
        if form.get("do") == "begin":
            created = submissions.submit(services, visitor.principal, about, _once(form, document))
            return RedirectResponse(f"/jobs/{created.job.id}", 303)
        answer.cost = submissions.dry_run(services, visitor.tenant, about)
    except InvalidSpec as error:
        answer.wrong = asking.places(error.errors or [FieldError("", error.detail)])
    if request.headers.get("hx-request") == "true":
        told: dict[str, Any] = {"answer": answer, "form": form, "ways": shown_as.WAYS, "labels": asking.LABELS}
        return render(request, "cost.html.jinja", visitor, **told)
    begins = form.get("do") == "begin"
    return _page(request, visitor, services, form, answer, 422 if begins and answer.wrong else 200)


@router.get("/new/samples")
def show_samples(
    request: Request,
    visitor: Writer,
    services: OpenServices,
    dataset: Annotated[str, Query(max_length=40)],
    class_name: Annotated[str, Query(alias="of", max_length=500)] = "",
    after: Annotated[int, Query(ge=-1, lt=10**12)] = -1,
) -> Response:
    """A page of the data set's samples to tick."""
    with services.database.read() as session:
        row = catalog.get(session, Dataset, visitor.tenant, dataset)
    return render(request, "picker.html.jinja", visitor, **_picker(services, visitor, row, class_name, after))


def _document(services: Services, visitor: Visitor, form: dict[str, str]) -> dict[str, Any]:
    model = None
    if wanted := form.get("model"):
        try:
            with services.database.read() as session:
                model = catalog.get(session, Model, visitor.tenant, wanted)
        except NotFound as error:
            raise InvalidSpec(error.detail, [FieldError("/base_model/weights", error.detail)]) from None
    document = asking.document(form, model)
    _as_long_as_the_api_takes(document, services.settings.max_body_bytes)
    return document


def _as_long_as_the_api_takes(document: dict[str, Any], most: int) -> None:
    """Raise InvalidSpec for a spec that ``POST /v1/jobs`` would not read."""
    text = json.dumps(document, ensure_ascii=False).encode()
    told = f"this makes a spec of {len(text)} bytes, of at most {most} (NEGMERGE_MAX_BODY_BYTES): choose fewer samples"
    if len(text) <= most:
        try:
            documents.parse(text)
            return
        except Malformed as error:
            told = error.detail
    raise InvalidSpec(told, [FieldError("/forget/select", told)])


def _once(form: dict[str, str], document: dict[str, Any]) -> tuple[str, str]:
    """The Idempotency-Key of this form as it is filled in, and its digest: sent twice it is one job."""
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    if not _ONCE.fullmatch(form["once"]):
        raise Invalid("the form has lost its number: load the page again", [FieldError("/once", "is none of ours")])
    return f"page-{form['once']}-{digest}", digest


def _page(
    request: Request, visitor: Visitor, services: Services, form: dict[str, str], answer: Answer, status: int = 200
) -> Response:
    with services.database.read() as session:
        offered = _offered(session, visitor.tenant, form)
    if offered.datasets:
        form.setdefault("dataset", offered.datasets[0].id)
    if len(offered.models) == 1 and "model" not in offered.older:
        form.setdefault("model", offered.models[0].id)
    chosen = next((row for row in offered.datasets if row.id == form.get("dataset")), None)
    shown = {} if chosen is None or chosen.key is None else _picker(services, visitor, chosen, "", -1)
    classes = list((chosen.classes or {}).items()) if chosen is not None else []
    return render(
        request,
        "new.html.jinja",
        visitor,
        status,
        form=form,
        offered=offered,
        chosen=chosen,
        classes=classes[:MAX_TILES],
        more_classes=len(classes[MAX_TILES:]),
        named=_named(asking.chosen_classes(form), dict(classes[:MAX_TILES])),
        listed="\n".join(asking.listed_ids(form)),
        picker=shown,
        sees=visitor.principal.may(Scope.IMAGES),
        hows=asking.HOW,
        axes=asking.AXES,
        presets=presets.by_kind(),
        answer=answer,
        ways=shown_as.WAYS,
        labels=asking.LABELS,
    )


def _named(chosen: list[str], tiles: Mapping[str, int]) -> ChosenClasses:
    return ChosenClasses(frozenset(chosen), [name for name in chosen if name not in tiles])


def _offered(session: Session, tenant: str, form: Mapping[str, str]) -> Offered:
    found = {name: form.get(f"find_{name}", "") for name in ("dataset", "retain", "model")}
    older = {"dataset", "retain"} if lists.has_older(session, Dataset, tenant) else set()
    if lists.has_older(session, Model, tenant):
        older.add("model")
    return Offered(
        datasets=lists.datasets(session, tenant, found["dataset"], form.get("dataset", "")),
        retains=lists.datasets(session, tenant, found["retain"], form.get("retain", "")),
        models=lists.models(session, tenant, found["model"], form.get("model", "")),
        older=frozenset(older),
    )


def _picker(services: Services, visitor: Visitor, row: Dataset, class_name: str, after: int) -> dict[str, Any]:
    classes = [class_name] if class_name and class_name in (row.classes or {}) else []
    found, total = services.archives.listing(row).page(after, SAMPLES + 1, classes)
    page: list[Listed] = list(found[:SAMPLES])
    query = {"dataset": row.id, "of": class_name}
    return {
        "dataset": row,
        "samples": page,
        "total": total,
        "of": class_name,
        "first": f"/new/samples?{urlencode(query)}" if after >= 0 else None,
        "following": f"/new/samples?{urlencode(query | {'after': page[-1].number})}" if len(found) > SAMPLES else None,
        "sees": visitor.principal.may(Scope.IMAGES),
    }
