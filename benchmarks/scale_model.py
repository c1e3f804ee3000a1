"""A job on many workers as a simulation of events: who waits for the record, for the store, and how long it all takes.

The record does one transaction of a job at a time: SQLite has one writer, and on PostgreSQL every transaction locks the
job's row. So it is a queue, and so is the way into the store. Workers do in it what ``worker.work`` and ``worker.fold``
do: claim, train, say so, flush after ``flush_seconds`` and at the end; and each renews in a rhythm of its own.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from itertools import count


@dataclass(frozen=True)
class Costs:
    """Seconds of one transaction of each kind, and of the bytes of a partial.

    save, put, get, combine: seconds a byte: a partial written by its worker, brought into the store by whoever is next,
    fetched and added by conclude.
    """

    claim: float
    finish: float
    flush: float
    renew: float
    save: float
    put: float
    get: float
    combine: float


@dataclass(frozen=True)
class Work:
    """A job: its points, the seconds of one, the bytes of a partial; how often workers flush and renew."""

    points: int
    seconds: float
    partial: float
    flush_seconds: float = 30.0
    renew_seconds: float = 3.0


@dataclass
class Queue:
    """One server, first come, first served; times are asked for in order. busy: seconds that it worked."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When what was asked for at ``now`` is done."""
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free


@dataclass(frozen=True)
class Simulated:
    """Seconds from the first claim to the last flush, and of conclude's combining; shares of the queues' time."""

    tuning: float
    combining: float
    record: float
    store: float
    partials: int

    @property
    def seconds(self) -> float:
        """Both together: what more workers can shorten, and what they lengthen."""
        return self.tuning + self.combining


@dataclass
class _Worker:
    unflushed: int = 0
    oldest: float = 0.0
    folded: bool = False
    done: bool = False


@dataclass
class _Job:
    work: Work
    costs: Costs
    record: Queue = field(default_factory=Queue)
    store: Queue = field(default_factory=Queue)
    claimed: int = 0
    events: list[tuple[float, int, str, int]] = field(default_factory=list)
    order: "count[int]" = field(default_factory=count)
    end: float = 0.0

    def at(self, when: float, what: str, worker: int) -> None:
        heapq.heappush(self.events, (when, next(self.order), what, worker))


def simulate(workers: int, work: Work, costs: Costs) -> Simulated:
    """One job on so many workers that all begin at once."""
    job, each = _Job(work, costs), [_Worker() for _ in range(workers)]
    for number in range(workers):
        job.at(0.0, "claim", number)
        job.at(work.renew_seconds * (number + 1) / workers, "renew", number)
    left = Counter(workers=workers)
    while left["workers"]:
        now, _, what, number = heapq.heappop(job.events)
        worker = each[number]
        if what == "renew":
            if not worker.done:
                job.at(job.record.serve(now, costs.renew) + work.renew_seconds, "renew", number)
        elif what == "claim":
            _claim(job, worker, number, now)
        elif what == "trained":
            _trained(job, worker, number, now)
        elif what == "saved":
            job.at(job.store.serve(now, costs.put * work.partial), "put", number)
        elif what == "put":
            worker.unflushed, worker.folded = 0, True
            job.end = job.record.serve(now, costs.flush)
            job.at(job.end, "claim", number)
        if what == "claim" and worker.done:
            left["workers"] -= 1
    partials = sum(worker.folded for worker in each)
    combining = partials * work.partial * max(costs.get, costs.combine)  # the next are fetched meanwhile
    record, store = (min(1.0, queue.busy / job.end) for queue in (job.record, job.store))
    return Simulated(job.end, combining, record, store, partials)


def _claim(job: _Job, worker: _Worker, number: int, now: float) -> None:
    asked = job.record.serve(now, job.costs.claim)
    if job.claimed < job.work.points:
        job.claimed += 1
        job.at(asked + job.work.seconds, "trained", number)
    elif worker.unflushed:
        _flush(job, number, asked)
    else:
        worker.done = True


def _trained(job: _Job, worker: _Worker, number: int, now: float) -> None:
    told = job.record.serve(now, job.costs.finish)
    if not worker.unflushed:
        worker.oldest = told
    worker.unflushed += 1
    if told - worker.oldest >= job.work.flush_seconds:
        _flush(job, number, told)
    else:
        job.at(told, "claim", number)


def _flush(job: _Job, number: int, now: float) -> None:
    job.at(now + job.costs.save * job.work.partial, "saved", number)
