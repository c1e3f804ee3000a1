"""Rows of the record as the resources that go out (``negmerge.spec.resources``, ``negmerge.spec.job_resources``)."""

from typing import Any
from urllib.parse import quote

from app.record import steps, tables
from negmerge.data.classes import why_none
from negmerge.data.listing import Listed
from negmerge.spec import auto
from negmerge.spec.job_resources import Event, Job, JobProblem, Links, Point, Progress
from negmerge.spec.resources import Artifact, Dataset, Model, Sample
from negmerge.spec.result import SweepChosen
from negmerge.spec.sources import HubModel, RegistryTag, WeightsPath, WeightsUri, stored_source
from negmerge.spec.states import JobState
from negmerge.spec.sweep import HyperParameters


def dataset(row: tables.Dataset) -> Dataset:
    """A data set."""
    return Dataset(
        id=row.id,
        name=row.name,
        uri=row.uri,
        bytes=row.bytes,
        digest=_digest(row.sha256),
        samples=row.samples,
        classes=row.classes,
        note=why_none(row.folder or "") if row.classes == {} else None,
        class_names=row.class_names,
        templates=row.templates,
        on_unreadable="leave_out" if row.on_unreadable == "leave_out" else "refuse",
        left_out=row.left_out,
        created_at=row.created_at,
    )


def sample(dataset_id: str, listed: Listed) -> Sample:
    """A sample of a data set."""
    return Sample(
        id=listed.id,
        class_name=listed.class_name,
        part=listed.part,
        thumbnail=f"/v1/datasets/{dataset_id}/samples/{quote(listed.id)}/thumbnail",
    )


def model(row: tables.Model) -> Model:
    """A model."""
    uri, tag = _elsewhere(row)
    return Model(
        id=row.id,
        name=row.name,
        family=row.family,
        architecture=row.architecture,
        config=row.config,
        uri=uri,
        weights=tag,
        bytes=row.bytes,
        digest=_digest(row.sha256),
        created_at=row.created_at,
    )


def artifact(row: tables.Artifact) -> Artifact:
    """A file that a job left."""
    return Artifact(
        path=row.path,
        bytes=row.bytes,
        digest=f"sha256:{row.sha256}",
        media_type=row.media_type,
        href=f"/v1/jobs/{row.job_id}/artifacts/{row.path}",
    )


def job(row: tables.Job, progress: Progress, queue_position: int | None) -> Job:
    """A job, with what only a query can tell."""
    return Job(
        id=row.id,
        state=JobState(row.state),
        terminal=JobState(row.state).terminal,
        cancel_requested=row.cancel_requested_at is not None,
        queue=row.queue,
        queue_position=queue_position,
        progress=progress,
        points=row.points,
        spec=_compact(row.spec),
        sweep_chosen=_sweep_chosen(row.spec),
        metadata=row.meta,
        outcome=row.outcome,
        outcome_reason=row.outcome_reason,
        problem=None if row.problem is None else JobProblem.model_validate(row.problem),
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        links=Links.of(row.id, row.spec.get("from_job")),
    )


def point(row: tables.Step) -> Point:
    """A point of the sweep, out of its step."""
    outcome = steps.outcome_of(row)
    return Point(
        index=row.index,
        hyper_parameters=HyperParameters.model_validate(row.hyper_parameters),
        seed=row.seed,
        state=row.state,
        attempts=row.attempts,
        progress=row.progress,
        loss=outcome.loss,
        seconds=outcome.seconds,
        scale=outcome.scale,
        figures=outcome.parts(),
        digest=outcome.digest,
        cause=row.cause,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def event(row: tables.Event) -> Event:
    """An event."""
    return Event(number=row.number, at=row.at, kind=row.kind, data=row.data)


def _digest(sha256: str | None) -> str | None:
    """Hex digits as ``sha256:…``, as the result and the artifacts write it."""
    return None if sha256 is None else f"sha256:{sha256}"


def _elsewhere(row: tables.Model) -> tuple[str | None, str | None]:
    """The URI and the registry tag of a model that was not uploaded: one of them."""
    if row.uri is None:
        return None, None
    match stored_source(row.uri):
        case WeightsUri(place) | WeightsPath(place) | HubModel(place):
            return place, None
        case RegistryTag(tag):
            return None, tag


def _sweep_chosen(spec: dict[str, Any]) -> SweepChosen | None:
    """What the sweep ``auto`` chose; of a stored spec, which is not judged again."""
    sweep = spec["sweep"]
    return auto.chosen(sweep, spec["base_model"]["family"] == "timm") if sweep.get("auto") else None


def _compact(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without its nulls, but for those in lists."""
    given = {name: _compact(value) if isinstance(value, dict) else value for name, value in spec.items()}
    return {name: value for name, value in given.items() if value is not None}
