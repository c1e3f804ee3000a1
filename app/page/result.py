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
from negmerge.spec import paths, words
from negmerge.spec.consensus import Layer
from negmerge.spec.figures import FigureRecord, Part, SideName
from negmerge.spec.methods import label
from negmerge.spec.result import ResultDocument

MAX_RESULT_BYTES = 64 * 2**20
"""A larger result document is not drawn, but can be downloaded."""


@dataclass(frozen=True)
class ClassLine:
    """A class's accuracy before and after, on the data that the report measures it on.

    told: which of its samples they are, where that is not plain.
    """

    name: str
    forgotten: bool
    told: str
    before: FigureRecord | None
    after: FigureRecord | None


@dataclass(frozen=True)
class MethodLine:
    """The base model, a merge or a rival at its own λ: what it scores on what is reported."""

    label: str
    own: bool
    scale: float | None
    forget: FigureRecord | None
    retain: FigureRecord | None


@dataclass(frozen=True)
class View:
    """What the result's view draws."""

    sentence: str
    methods: list[MethodLine]
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
    document = _document(services.store, files.get(paths.RESULT))
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
        for_transformers=any(path.startswith(paths.UNLEARNED_THEIRS) for path in files),
        happened=happened,
        words=words,
    )


def document_of(services: Services, job: Job) -> ResultDocument | None:
    """The job's result; None where it has none that this version can read."""
    with services.database.read() as session:
        file = session.get(Artifact, (job.id, paths.RESULT))
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
        methods=_methods(document),
        curves=curves(document),
        classes=_classes(document),
        layers=document.consensus.by_layer(),
        agreement=agreement(document.consensus),
    )


def _methods(document: ResultDocument) -> list[MethodLine]:
    """The base model first, then the job's own method, then what it was compared with; only what was measured."""
    names = dict.fromkeys(("base", document.method, *document.methods))
    found = [(name, document.methods[name]) for name in names]
    lines = [
        MethodLine(label(name), name == document.method, row.scale, *row.reported(document.splits))
        for name, row in found
    ]
    return [line for line in lines if line.forget is not None or line.retain is not None]


def _classes(document: ResultDocument) -> list[ClassLine]:
    """Forgotten classes first, or those of forgotten samples; then those that lost most."""
    part = document.splits.forget_part
    before, after = document.methods["base"], document.methods[document.method]
    lines = []
    sides: list[tuple[SideName, Part]] = [("forget", part), ("retain", "test")]
    for side, measured in sides:
        old, new = before.figure(measured, side), after.figure(measured, side)
        for name, figure in ((old and old.per_class) or {}).items():
            told = _told(document, side, name, figure)
            lines.append(ClassLine(name, side == "forget", told, figure, ((new and new.per_class) or {}).get(name)))
    return sorted(lines, key=lambda line: (not line.forgotten, _change(line), line.name))


def _told(document: ResultDocument, side: SideName, name: str, figure: FigureRecord) -> str:
    """Which samples of a class a line is about: where single samples were to go, the class itself was not."""
    select = document.spec.forget.select
    if select is None or select.by_class:
        return "to be forgotten" if side == "forget" else ""
    if side == "retain":
        gone = document.methods["base"].figure(document.splits.forget_part, "forget")
        return "what stays of it" if gone and name in (gone.per_class or {}) else ""
    kind = "listed" if select.ids is not None else "randomly chosen"
    return f"{words.plural(figure.count, f'{kind} sample')} of it, to be forgotten"


def _change(line: ClassLine) -> float:
    return 0.0 if line.before is None or line.after is None else line.after.accuracy - line.before.accuracy
