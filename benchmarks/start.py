"""How long the parts take to start, from a warm disk: a worker to its first claim, `up` to ready, a command's help.

The code as it was before (``before``) takes turns with this one. Python must keep what it compiled: with
PYTHONDONTWRITEBYTECODE every start compiles all of it again, so it is not passed on.
Seconds of the clock count; those of the processors, of all processes together, say what a busy machine adds.
"""

import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from app.record import jobs
from app.record.db import Database
from app.settings import Settings
from benchmarks.before import before
from benchmarks.timing import against, spread
from negmerge.spec.job import parse
from tests.support.servers import free_port
from tooling.machine import machine

RUNS = 7
HERE = Path(__file__).parents[1]
HELP = (("merge", "--help"), ("--help",), ("run", "--help"), ("jobs", "--help"))
SPEC = {
    "base_model": {"family": "open_clip", "weights": "mdl_1"},
    "forget": {"dataset": "ds_1", "select": {"classes": ["seven"]}},
    "retain": {"dataset": "ds_1"},
    "sweep": {"grid": {"epochs": [1]}},
}
TARGETS = {"worker, to its first claim": 3.0, "up, to ready": 5.0, "negmerge merge --help": 0.3}
_LONGEST = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")

Taken = tuple[float, float]
"""Seconds by the clock, and of the processors."""


def main(runs: int = RUNS) -> None:
    """Print the seconds of each path, of this checkout and of the one before."""
    print(machine())
    sides = {"now": HERE}
    if (old := before()) is not None:
        sides = {"before": old, **sides}
    paths: dict[str, Callable[[Path], Taken]] = {
        "worker, to its first claim": worker,
        "up, to ready": up,
        **{f"negmerge {' '.join(words)}": _help(words) for words in HELP},
    }
    print(f"start: seconds from a warm disk, {runs} runs each after one that is not counted")
    for name, path in paths.items():
        taken: dict[str, list[Taken]] = {side: [] for side in sides}
        for run in range(runs + 1):
            for side, checkout in sides.items():
                found = path(checkout)
                if run > 0:
                    taken[side].append(found)
        for side, each in taken.items():
            clock, processors = zip(*each, strict=True)
            told = f"{spread(clock)}; of the processors {spread(processors)}"
            print(f"  {name:28} {side:7} {told}", flush=True)
        if name in TARGETS:
            middle = statistics.median(clock for clock, _ in taken["now"])
            print(f"  {'':28} {'':7} {against(middle, TARGETS[name], at_most=True)} s")


def worker(checkout: Path) -> Taken:
    """A worker that is started beside a queued job, until the job's first step is claimed."""
    with tempfile.TemporaryDirectory(prefix="negmerge-start-") as folder:
        settings = Settings(data_dir=Path(folder))
        database = Database(settings.database_url)
        database.migrate()
        with database.write() as session:
            jobs.create(session, "acme", "key_1", parse(SPEC), settings.queue)
        database.dispose()
        record = Path(folder) / "record.sqlite"
        return _until(["-m", "worker"], checkout, folder, lambda _: _claimed(record))


def up(checkout: Path) -> Taken:
    """``up`` on a new data directory, until it says that it is ready."""
    with tempfile.TemporaryDirectory(prefix="negmerge-start-") as folder:
        words = ["-m", "app", "up", "--data-dir", f"{folder}/data", "--port", str(free_port())]
        return _until(words, checkout, folder, lambda output: "Ready:" in output.read_text())


def _help(words: tuple[str, ...]) -> Callable[[Path], Taken]:
    def measured(checkout: Path) -> Taken:
        started = time.perf_counter()
        command = [sys.executable, "-m", "negmerge", *words]
        process = subprocess.Popen(command, cwd=checkout, env=_environment(), stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{' '.join(words)} in {checkout} ended with status {process.returncode}")
        return time.perf_counter() - started, used.ru_utime + used.ru_stime

    return measured


def _until(words: list[str], checkout: Path, folder: str, reached: Callable[[Path], bool]) -> Taken:
    """Start Python with these words; seconds until ``reached`` is true of its output. Then it is stopped."""
    output = Path(folder) / "output"
    environment = _environment() | {"NEGMERGE_DATA_DIR": folder}
    with output.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *words], cwd=checkout, env=environment, stdout=file, stderr=file)
    try:
        while not reached(output):
            if process.poll() is not None or time.perf_counter() - started > _LONGEST:
                raise SystemExit(f"{' '.join(words)} in {checkout} did not get there:\n{output.read_text()}")
            time.sleep(0.01)
        return time.perf_counter() - started, _processors(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _claimed(record: Path) -> bool:
    with closing(sqlite3.connect(record, timeout=30)) as connection:
        return bool(connection.execute("SELECT count(*) FROM steps WHERE attempts > 0").fetchone()[0])


def _processors(pid: int) -> float:
    """Seconds of the processors that a process and those that it has started took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (int(fields[11]) + int(fields[12])) / _TICKS + sum(_processors(int(child)) for child in children)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
