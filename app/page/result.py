"""A job's result: in words first, then at every scale, by class, by layer, in pictures."""

from dataclasses import dataclass

from fastapi import Request, Response
from pydantic import ValidationError
from sqlalchemy import select

from app.api.deps import Services
from app.page.charts import Bar, Lines, agreement, curves
from app.page.events import Happening
from app.page.examples import examples_of, pictures
from app.page.guard import Visitor
from app.page.parts import Parts
from app.page.rendering import render
from app.page.status import OUTCOMES
from app.record.tables import Artifact, Job
from app.store.objects import Store
from negmerge.spec import words
from negmerge.spec.consensus import Layer
from negmerge.spec.figures import FigureRecord, Part, SideName
from negmerge.spec.result import ResultDocument

MAX_RESULT_BYTES = 64 * 2**20
"""A larger result document is not drawn, but can be downloaded."""


@dataclass(frozen=True)
class ClassLine:
    """A class's accuracy before and after, on the data that the report measures it on."""

    name: str
    forgotten: bool
    before: FigureRecord | None
    after: FigureRecord | None


@dataclass(frozen=True)
class View:
    """What the result's view draws."""

    sentence: str
    curves: Lines
    classes: list[ClassLine]
    layers: dict[str, Layer]
    agreement: list[Bar]


def show(
    request: Request, visitor: Visitor, services: Services, job: Job, parts: Parts, happened: list[Happening]
) -> Response:
    """The view of a job that succeeded; without drawings where its result is of an older version, or too large."""
    with services.database.read() as session:
        of_job = select(Artifact).where(Artifact.job_id == job.id).order_by(Artifact.path)
        files = {row.path: row for row in session.scalars(of_job)}
    document = _document(services.store, files.get("result.json"))
    view = None if document is None else _view(document)
    return render(
        request,
        "result.html.jinja",
        visitor,
        job=job,
        parts=parts,
        standing=OUTCOMES.get(job.outcome or ""),
        result=document,
        view=view,
        pictures=pictures(job, examples_of(services, job.id), visitor),
        files=list(files.values()),
        happened=happened,
        words=words,
    )


def document_of(services: Services, job: Job) -> ResultDocument | None:
    """The job's result; None where it has none that this version can read."""
    with services.database.read() as session:
        file = session.get(Artifact, (job.id, "result.json"))
    return _document(services.store, file)


def _document(store: Store, file: Artifact | None) -> ResultDocument | None:
    if file is None or file.bytes > MAX_RESULT_BYTES:
        return None
    try:
        return ResultDocument.model_validate_json(store.read(file.key))
    except ValidationError:
        return None


def _view(document: ResultDocument) -> View:
    return View(
        sentence=words.sentence(document),
        curves=curves(document),
        classes=_classes(document),
        layers=document.consensus.by_layer(),
        agreement=agreement(document.consensus),
    )


def _classes(document: ResultDocument) -> list[ClassLine]:
    """Forgotten classes first, then those that lost most."""
    part = document.splits.forget_part
    before, after = document.methods["base"], document.methods[document.method]
    lines = []
    sides: list[tuple[SideName, Part]] = [("forget", part), ("retain", "test")]
    for side, measured in sides:
        old, new = before.figure(measured, side), after.figure(measured, side)
        for name, figure in ((old and old.per_class) or {}).items():
            lines.append(ClassLine(name, side == "forget", figure, ((new and new.per_class) or {}).get(name)))
    return sorted(lines, key=lambda line: (not line.forgotten, _change(line), line.name))


def _change(line: ClassLine) -> float:
    return 0.0 if line.before is None or line.after is None else line.after.accuracy - line.before.accuracy
