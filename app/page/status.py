"""What a job is called in a list: how it ended, what it does, or what it waits for and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from app.page.words import duration
from app.record.states import JobState
from app.record.tables import Job
from negmerge.spec.job_resources import Progress, WaitingStep
from negmerge.spec.words import plural


class Status(NamedTuple):
    """A label with its icon and colour, and why it is so, where that is not plain."""

    tone: str
    icon: str
    label: str
    reason: str = ""


OUTCOMES = {
    "unlearned": Status("good", "check", "Unlearned"),
    "below_target": Status("fair", "below", "Below target"),
    "nothing_unlearned": Status("quiet", "nothing", "Nothing unlearned"),
}
"""By the outcome of a job that ran to its end."""

_FINISHED = Status("quiet", "check", "Finished")  # before outcomes were kept
_BUSY = {
    JobState.PREPARING: "Preparing",
    JobState.TUNING: "Fine-tuning",
    JobState.CONCLUDING: "Choosing the scale",
}
BFLOAT16_BY = {
    "amx": "by AMX",
    "avx512": "by AVX-512",
    "cuda": "by the GPU",
    "emulated": "without help of the hardware",
}
"""What computes bf16, in words."""
_SHARE_KNOWN = 0.03
"""Of a job's steps, from which on what is left is worth guessing."""


def status(job: Job, progress: Progress, place: int | None, now: datetime) -> Status:
    """What to call the job.

    place: among the queued jobs, 1 for the next. now: by the record's clock, against which waiting is said.
    """
    state = JobState(job.state)
    if state.terminal:
        return _ended(job, state)
    if job.cancel_requested_at is not None:
        return Status("busy", "waiting", "Stopping", "cancelled; the running step ends first")
    if progress.workers == 0 and not progress.running:
        kind = "" if job.device is None else f" that computes {_arithmetic(job, state)}, as it began,"
        return Status("fair", "waiting", "Waiting", f"no worker{kind} is running")
    if progress.waiting and not progress.running:
        return Status("fair", "waiting", "Waiting", retry(progress.waiting[0], now))
    if state is JobState.QUEUED:
        ahead = (place or 1) - 1
        return Status("busy", "waiting", "Waiting", f"{plural(ahead, 'job')} before it" if ahead else "it is next")
    return Status("busy", "running", _BUSY[state], points(progress) if state is JobState.TUNING else "")


def _arithmetic(job: Job, state: JobState) -> str:
    """What a worker must be like to go on with the job."""
    told = f"on {job.device} with {job.threads} threads"
    if job.bfloat16_by is None or state is not JobState.TUNING:
        return told
    return f"{told} and bfloat16 {BFLOAT16_BY[job.bfloat16_by]}"


def points(progress: Progress) -> str:
    """How many points are trained: 4 of 12 points."""
    counts = progress.points
    return f"{counts.trained + counts.folded + counts.diverged} of {plural(counts.total, 'point')}"


def retry(step: WaitingStep, now: datetime) -> str:
    """When a step that failed is tried again, and why it failed."""
    name = f"point {step.index}" if step.kind == "point" else f"the step {step.kind}"
    seconds = max(0.0, (step.not_before - now).total_seconds())
    times = plural(step.attempts, "time")
    return f"{name} failed {times} and is tried again in {duration(seconds)}: {cause(step.cause)}"


def cause(found: Mapping[str, Any] | None) -> str:
    """A cause of the record in words."""
    return str((found or {}).get("detail") or (found or {}).get("type") or "the cause is not known")


def seconds_left(job: Job, progress: Progress, now: datetime) -> float | None:
    """A guess by how long the job took so far; None where that says too little, or nothing runs."""
    if job.started_at is None or not progress.running or progress.fraction < _SHARE_KNOWN:
        return None
    return (now - job.started_at).total_seconds() * (1 - progress.fraction) / progress.fraction


def _ended(job: Job, state: JobState) -> Status:
    if state is JobState.FAILED:
        return Status("bad", "failed", "Failed", cause(job.problem))
    if state is JobState.CANCELLED:
        return Status("quiet", "cancelled", "Cancelled")
    return OUTCOMES.get(job.outcome or "", _FINISHED)._replace(reason=job.outcome_reason or "")
