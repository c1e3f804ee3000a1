"""A job on 1 to 1,000 workers, simulated with costs that are measured here, and checked against 1 and 2 real ones."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.record.db import Database
from app.store.objects import Store
from benchmarks.scale_costs import costs, real
from benchmarks.scale_model import Costs, Simulated, Work, simulate
from tests.support import servers
from tooling.machine import machine

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
POINTS = 1000
WANTED = 0.9
"""Of a worker's time that should go into points: time within 10 % of 1/W."""
JOBS = {
    "ResNet-20 on 5,000 CIFAR-10 images": (13.0, 0.27e6),
    "ViT-B/32's image tower, on a CPU": (40.0, 87.8e6),
}
"""Seconds of a point, as docs/benchmarks.md has them of two cores, and elements that take part."""
BYTES_AN_ELEMENT = 10
_REAL_FLUSH = 2.0


def main() -> None:
    """Print the costs, the check, and a table for each kind of job and record."""
    print(machine())
    with tempfile.TemporaryDirectory(prefix="nm-") as name:
        folder = Path(name)
        found = {}
        for record, database, store in _places(folder):
            found[record] = measured = costs(database, store, folder)
            print(f"scale: {record}: {_told(measured)}")
        _check(found["SQLite, folder"])
        for record, measured in found.items():
            for job, (seconds, elements) in JOBS.items():
                _table(f"{job}, {record}", Work(POINTS, seconds, elements * BYTES_AN_ELEMENT), measured)


def _places(folder: Path) -> Iterator[tuple[str, Database, Store]]:
    """Each kind of record, with a folder as the store."""
    store = Store.open((folder / "store").as_uri())
    for name, where in (("SQLite, folder", _sqlite), ("PostgreSQL, folder", _postgresql)):
        with where(folder) as url:
            database = Database(url)
            database.migrate()
            yield name, database, store
            database.dispose()


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/record.sqlite"


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """The tests' own server, which does not wait for the disk: a real one takes a few milliseconds more a commit."""
    with ExitStack() as stack:
        yield stack.enter_context(servers.new_database(stack.enter_context(servers.postgres(folder))))


def _told(measured: Costs) -> str:
    moments = ("claim", "finish", "flush", "renew")
    rates = ("save", "put", "get", "combine")
    told = [f"{name} {1000 * getattr(measured, name):.1f} ms" for name in moments]
    return ", ".join([*told, *(f"{name} {1e-9 / getattr(measured, name):.2f} GB/s" for name in rates)])


def _check(measured: Costs) -> None:
    """One and two real workers beside what the simulation says of them, with the seconds that their points took."""
    print("  workers   a point   measured   simulated   apart")
    for workers in (1, 2):
        taken, seconds = real(workers)
        said = simulate(workers, Work(24, seconds, 1e5, flush_seconds=_REAL_FLUSH), measured).tuning
        print(f"  {workers:7} {seconds:8.2f} s {taken:8.1f} s {said:9.1f} s {100 * (said / taken - 1):+6.1f} %")


def _table(title: str, work: Work, measured: Costs) -> None:
    print(f"{title}: {work.points} points of {work.seconds:g} s, partials of {work.partial / 1e6:,.0f} MB")
    print("  workers   tuning   combining   of 1/W   record busy   store busy")
    alone = simulate(1, work, measured).seconds
    left = None
    for workers in WORKERS:
        found = simulate(workers, work, measured)
        share = alone / workers / found.seconds
        if share < WANTED and left is None:
            left = workers, saturated(found, work)
        print(
            f"  {workers:7} {found.tuning:8.0f} s {found.combining:7.1f} s {100 * share:7.0f} % "
            f"{100 * found.record:8.0f} % {100 * found.store:10.0f} %"
        )
    print(
        f"  within 10 % up to the line before {left[0]} workers; then {left[1]}" if left else "  within 10 % everywhere"
    )


def saturated(found: Simulated, work: Work) -> str:
    """What takes the time that is missing: the part with the largest share of it."""
    shares = {
        "the record is what all wait for": found.record,
        "the store is what all wait for": found.store,
        "conclude takes long to combine": found.combining / found.seconds,
        "points are too few for so many": work.seconds / found.seconds,
    }
    return max(shares, key=lambda name: shares[name])
