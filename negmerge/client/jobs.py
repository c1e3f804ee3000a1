"""Jobs at the service: submitted, watched, and what they leave."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from negmerge.client import events as streams
from negmerge.client.asking import asked, gone, listed
from negmerge.client.bars import Wanted, bar
from negmerge.client.downloads import check_members, fetched, fetched_once, inside
from negmerge.client.effects import Call, Flow, Request
from negmerge.client.paths import below
from negmerge.client.uploads import telling
from negmerge.client.waiting import waited
from negmerge.spec.derived import DerivedJobSpec
from negmerge.spec.fields import Spec
from negmerge.spec.job import JobSpec
from negmerge.spec.job_resources import DryRun, Event, Job, Point, Result
from negmerge.spec.paths import UNLEARNED, at_scale
from negmerge.spec.resources import Artifact, Page

NewJob = JobSpec | DerivedJobSpec | Mapping[str, Any]
"""What is submitted: a whole spec, one from another job, or either as a document."""


def submit(spec: NewJob, *, idempotency_key: str | None = None) -> Call[Job]:
    """Submit a job. Tried again where the answer is lost: its Idempotency-Key makes that the same job.

    idempotency_key: your own, such as a ticket's number, so that your program may be repeated too.
    """
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    return (yield from asked(Request("POST", "/v1/jobs", headers=headers, json=_document(spec)), Job))


def dry_run(spec: NewJob) -> Call[DryRun]:
    """Judge a spec and estimate what it would take; nothing is made."""
    return (yield from asked(Request("POST", "/v1/jobs", {"dry_run": "true"}, json=_document(spec)), DryRun))


def list_all(
    *,
    states: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> Flow[Job]:
    """The tenant's jobs, newest first, those alone that the filters let through. Times without a zone are UTC."""
    params: dict[str, Any] = {f"metadata.{key}": value for key, value in (metadata or {}).items()}
    params |= {"state": list(states) or None, "outcome": list(outcomes) or None}
    params |= {"created_after": _moment(created_after), "created_before": _moment(created_before)}
    yield from listed("/v1/jobs", Job, params)


def get(job_id: str) -> Call[Job]:
    """One job: its state, how far it is, its place in the queue."""
    return (yield from asked(Request("GET", below("jobs", job_id)), Job))


def wait(job_id: str, *, timeout: float | None = None, progress: Wanted = None) -> Call[Job]:
    """Wait for a job's end, and return it. progress: None shows a bar in a terminal and in a notebook.

    Raises JobFailed or JobCancelled with the problem's words, and StillRunning once ``timeout`` seconds are over (up to
    15 s later, as often as the service gives a sign of life). The job goes on whatever happens here.
    """
    return (yield from waited(job_id, timeout, progress))


def cancel(job_id: str) -> Call[Job]:
    """Ask for a job's end; asking twice is once. Raises Conflict where it has ended."""
    return (yield from asked(Request("POST", below("jobs", job_id, "cancel")), Job))


def delete(job_id: str) -> Call[None]:
    """Delete an ended job with its artifacts. Raises Conflict before its end."""
    yield from gone(below("jobs", job_id))


def points(job_id: str) -> Flow[Point]:
    """The points of the sweep, in order."""
    yield from listed(below("jobs", job_id, "points"), Point, {})


def events(job_id: str, *, after: int = 0, follow: bool = True) -> Flow[Event]:
    """What happened to the job after event number ``after``: as it happens, or with ``follow`` off what there is."""
    if follow:
        yield from streams.followed(job_id, after)
    else:
        yield from listed(below("jobs", job_id, "events"), Event, {"after": after})


def result(job_id: str) -> Call[Result]:
    """The result document. Raises Conflict before the job's end, and where it has none."""
    return (yield from asked(Request("GET", below("jobs", job_id, "result")), Result))


def artifacts(job_id: str) -> Call[list[Artifact]]:
    """All files that the job left; none before it has succeeded."""
    return (yield from asked(Request("GET", below("jobs", job_id, "artifacts")), Page[Artifact])).data


def download(
    job_id: str, path: str, to: Path | str | None = None, *, overwrite: bool = False, progress: Wanted = None
) -> Call[Path]:
    """Download one artifact, such as ``report.html``; returns where it lies.

    to: a file, or a folder that is there; by default the artifact's own name, here. Resumed where it was cut, by a
    later call too; checked against its digest; there whole or not at all.
    """
    target = _target(to, path.rpartition("/")[2])
    with bar(progress) as show:
        on_bytes = telling(show, f"fetching {path}")
        return (yield from fetched(_artifact(job_id, path), target, on_bytes, overwrite=overwrite))


def download_all(job_id: str, to: Path | str, *, overwrite: bool = False, progress: Wanted = None) -> Call[list[Path]]:
    """Download every artifact into a folder, which is made. Those that are there already are not fetched again."""
    folder, found = Path(to), (yield from artifacts(job_id))
    total = sum(artifact.bytes for artifact in found) or 1
    done, targets = 0, []
    with bar(progress) as show:
        for artifact in found:
            target = inside(folder, artifact.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            on_bytes = telling(show, f"fetching {artifact.path}", before=done, whole=total)
            path = _artifact(job_id, artifact.path)
            yield from fetched(path, target, on_bytes, expected=artifact.digest, overwrite=overwrite)
            done += artifact.bytes
            targets.append(target)
    return targets


def weights(
    job_id: str,
    to: Path | str | None = None,
    *,
    format: Literal["file", "zip"] = "file",
    scale: float | None = None,
    overwrite: bool = False,
    progress: Wanted = None,
) -> Call[Path]:
    """Download the unlearned weights: one safetensors file, or a zip of the folder that open_clip or timm loads.

    The file has the digest that the result names as ``digests.unlearned``; a zip's members those of the artifacts.
    scale: another λ than the job chose. Such weights are made while they are sent, so nobody knows their digest before.
    """
    path, told = below("jobs", job_id, "weights"), None if scale is None else repr(scale)
    with bar(progress) as show:
        on_bytes = telling(show, f"fetching the weights of {job_id}")
        if format == "file":
            expected = (yield from result(job_id)).digests.unlearned if scale is None else None
            target, params = _target(to, at_scale(f"{job_id}-unlearned.safetensors", scale)), {"scale": told}
            return (yield from fetched(path, target, on_bytes, params=params, expected=expected, overwrite=overwrite))
        folder = [one for one in (yield from artifacts(job_id)) if one.path.startswith(UNLEARNED)]
        known = {one.path: one.digest for one in folder if scale is None or not one.path.endswith(".safetensors")}
        digests = {one.path.removeprefix(UNLEARNED): known.get(one.path) for one in folder}
        target, zipped = _target(to, at_scale(f"{job_id}-unlearned.zip", scale)), {"format": "zip", "scale": told}
        check = check_members(digests)
        return (yield from fetched_once(path, target, on_bytes, params=zipped, check=check, overwrite=overwrite))


def _document(spec: NewJob) -> dict[str, Any]:
    return spec.model_dump(mode="json", exclude_unset=True) if isinstance(spec, Spec) else dict(spec)


def _artifact(job_id: str, path: str) -> str:
    return below("jobs", job_id, "artifacts", *path.split("/"))


def _target(to: Path | str | None, name: str) -> Path:
    target = Path(name if to is None else to)
    return target / name if target.is_dir() else target


def _moment(time: datetime | None) -> str | None:
    if time is None:
        return None
    aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
