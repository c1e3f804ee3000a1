"""What a job is about, by the names that its owner knows: its data, its model, who asked for it."""

from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.page import words
from app.record.tables import ApiKey, Dataset, Job, Model
from negmerge.spec import auto
from negmerge.spec.words import gate_asked


class Part(NamedTuple):
    """A data set, a model or a key: its name, and its id where it has one."""

    name: str
    id: str | None = None


class Parts(NamedTuple):
    """Everything that a job names. what: what is to be forgotten, in words. require: what each gate asks for.

    keeps: what of the retain data set is to stay, in words; empty where it is all of it, None where it is all that is
    not forgotten of the one data set.
    sweep_why: why the service chose these points, where it was to choose them.
    """

    what: str
    forget: Part
    retain: Part
    base_model: Part
    asked_by: Part
    require: list[str]
    keeps: str | None
    sweep_why: str | None


def parts(session: Session, job: Job) -> Parts:
    """The job's parts by their names of now; what is gone by now is called by its id.

    The stored spec is read as it is and not judged again: what an older version took must still be shown.
    """
    spec = job.spec
    key = session.get(ApiKey, job.created_by)
    weights = str(spec["base_model"].get("weights") or spec["base_model"].get("architecture") or "")
    return Parts(
        what=words.forgets(spec),
        forget=_data(session, job, spec["forget"]),
        retain=_data(session, job, spec["retain"]),
        base_model=_named(session, Model, job.tenant, weights),
        asked_by=Part(key.name if key else job.created_by, job.created_by),
        require=[gate_asked(name, limit) for name, limit in (spec.get("require") or {}).items() if limit is not None],
        keeps=_keeps(spec),
        sweep_why=_sweep_why(spec),
    )


def _keeps(spec: dict[str, Any]) -> str | None:
    if selected := words.selected(spec["retain"]):
        return selected
    same = words.source_of(spec["forget"]) == words.source_of(spec["retain"])
    return None if same else ""


def _sweep_why(spec: dict[str, Any]) -> str | None:
    sweep = spec["sweep"]
    chosen = auto.chosen(sweep, spec["base_model"]["family"] == "timm") if sweep.get("auto") else None
    return None if chosen is None else chosen.why


def _data(session: Session, job: Job, ref: dict[str, Any]) -> Part:
    if ref.get("dataset"):
        return _named(session, Dataset, job.tenant, ref["dataset"])
    return Part(words.source_of(ref))


def _named(session: Session, kind: type[Dataset] | type[Model], tenant: str, entry_id: str) -> Part:
    name = session.scalar(select(kind.name).where(kind.id == entry_id, kind.tenant == tenant))
    return Part(entry_id) if name is None else Part(name, entry_id)
