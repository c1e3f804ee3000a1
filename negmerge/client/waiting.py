"""Waiting for a job's end: by its events, and by asking where these do not come through."""

import time

from negmerge.client.asking import asked
from negmerge.client.bars import Show, Wanted, bar, silent
from negmerge.client.effects import Call, Request, Sleep
from negmerge.client.errors import JobEnded, NotUnderstood, Problem, StillRunning, Unreachable
from negmerge.client.events import SILENCE_SECONDS, Stream
from negmerge.spec.job_resources import Job, Links, RunningStep
from negmerge.spec.states import StepKind

LOOK_SECONDS = 2.0
"""How often a job is looked at that somebody watches: its steps tell how far they are about as often."""
MAX_NAMED = 2
"""Of the steps that many workers do at once, so many are named in a bar."""
FIRST_POLL_SECONDS = 1.0
MOST_POLL_SECONDS = 10.0


def waited(job_id: str, timeout: float | None, progress: Wanted) -> Call[Job]:
    """The job once it has succeeded; a bar shows how far it is. Raises JobEnded, StillRunning after ``timeout`` s.

    Events tell of whole steps alone, and a point may take hours: where somebody watches, the job itself is looked at.
    """
    links = Links.of(job_id)
    until = None if timeout is None else time.monotonic() + timeout
    with bar(progress) as show:
        job = yield from _looked(links, show)
        watched = show is not silent
        stream = None if watched else Stream(links.events, 0)
        pause = LOOK_SECONDS if watched else FIRST_POLL_SECONDS
        while not job.terminal:
            left = SILENCE_SECONDS if until is None else until - time.monotonic()
            if left <= 0:
                raise StillRunning(job)
            if stream is not None:
                stream = yield from _told(stream, min(SILENCE_SECONDS, left))
            else:
                yield Sleep(min(pause, left))
                pause = pause if watched else min(MOST_POLL_SECONDS, pause * 1.5)
            job = yield from _looked(links, show)
    if job.state != "succeeded":
        raise JobEnded.of(job)
    return job


def _looked(links: Links, show: Show) -> Call[Job]:
    job = yield from asked(Request("GET", links.self), Job)
    show(_standing(job), 1.0 if job.terminal else job.progress.fraction)
    return job


def _told(stream: Stream, patience: float) -> Call[Stream | None]:
    """Wait for the stream's next word. Returns the stream, or None where it is better to ask from now on."""
    try:
        news = yield from stream.news(patience)
    except (NotUnderstood, Unreachable, Problem):  # too many streams, a proxy that holds them up, one that cuts them
        return None
    return None if news is None else stream


def _standing(job: Job) -> str:
    """Where the job stands, in a few words."""
    if job.state == "queued":
        place = "" if job.queue_position is None else f", place {job.queue_position}"
        return f"{job.id} is queued{place}"
    if not job.terminal and job.progress.workers == 0:
        return f"{job.id} is {job.state.value}, and no worker is there for it"
    if job.state == "tuning":
        done = job.progress.points.folded + job.progress.points.diverged + job.progress.points.trained
        return f"{job.id}: {done} of {job.points} points{_within(job)}"
    if job.terminal:
        return f"{job.id}: {job.state.value}"
    return f"{job.id} is {job.state.value}{_within(job)}"


def _within(job: Job) -> str:
    """Where the steps are that workers do now, as far as these have told."""
    told = [step for step in job.progress.running if isinstance(step, RunningStep) and step.total]
    named = [f"{_named(step)}{step.step} of {step.total} steps" for step in told[:MAX_NAMED]]
    return f" ({', '.join(named)}{', …' if len(told) > MAX_NAMED else ''})" if named else ""


def _named(step: RunningStep) -> str:
    """Which of several of its kind; there is one step alone to prepare, and one to conclude."""
    return f"{step.kind.value} {step.index + 1}: " if step.kind in (StepKind.POINT, StepKind.RIVAL) else ""
