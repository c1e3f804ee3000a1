"""Parts of a worker that must hold in moments which a whole service meets rarely."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from http.client import BadStatusLine
from pathlib import Path

import pytest

from app.record.db import Database
from app.settings import Settings
from app.store.objects import Store
from negmerge.errors import ArchiveError, DataError
from tests.support import records
from worker import cache
from worker.causes import may_pass
from worker.context import WorkerContext
from worker.held_claims import TRACE, HeldClaims, Reason, Stopped
from worker.scratch import Scratch
from worker.work import Loop


@pytest.fixture
def sqlite(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path}/record.sqlite")
    database.migrate()
    return database


def test_a_step_stops_by_itself_when_its_lease_was_not_renewed_in_time(sqlite: Database) -> None:
    """Nobody tells it: the keeper may hang in a database that does not answer."""
    records.make_job(sqlite)
    held = HeldClaims(lease_seconds=0.1)
    held.begin(records.claim(sqlite, records.make_worker()), asked_at=time.monotonic())
    held.on_step(1, 2, None)
    time.sleep(0.1)
    with pytest.raises(Stopped) as stopped:
        held.on_step(2, 2, None)
    assert stopped.value.reason is Reason.LOST


def test_a_step_goes_on_while_its_lease_is_renewed(sqlite: Database) -> None:
    records.make_job(sqlite)
    held = HeldClaims(lease_seconds=0.1)
    held.begin(records.claim(sqlite, records.make_worker()), asked_at=time.monotonic())
    held.renewed(time.monotonic() + 60)
    time.sleep(0.1)
    held.on_step(2, 2, None)


@pytest.mark.parametrize(("share", "stops"), [(0.75, False), (0.85, True)], ids=["three quarters", "past four fifths"])
def test_a_step_stops_while_a_fifth_of_its_lease_is_left_to_stop_in(
    sqlite: Database, share: float, stops: bool
) -> None:
    records.make_job(sqlite)
    held = HeldClaims(lease_seconds=1000)
    held.begin(records.claim(sqlite, records.make_worker()), asked_at=time.monotonic() - share * 1000)
    with pytest.raises(Stopped) if stops else nullcontext():
        held.on_step(1, 2, None)


@pytest.mark.parametrize("steps", [1, TRACE, TRACE + 1, 1000])
def test_the_losses_that_are_kept_to_be_shown_are_few_and_spread_over_the_whole_step(
    sqlite: Database, steps: int
) -> None:
    """Those of every first, second, fourth, … step: at least half as many as may be kept, where there are as many."""
    records.make_job(sqlite)
    held = HeldClaims(lease_seconds=1000)
    held.begin(records.claim(sqlite, records.make_worker()), asked_at=time.monotonic())
    for step in range(1, steps + 1):
        held.on_step(step, steps, 1.0 / step)
    told = held.progress()
    assert told is not None
    kept = [step for step, _ in told[1].trace]
    every = kept[0]
    assert kept == list(range(every, steps + 1, every))
    assert min(steps, TRACE // 2) <= len(kept) <= TRACE
    assert told[1].trace == [(step, round(1.0 / step, 4)) for step in kept]


def test_a_loss_that_is_no_number_is_not_kept(sqlite: Database) -> None:
    records.make_job(sqlite)
    held = HeldClaims(lease_seconds=1000)
    held.begin(records.claim(sqlite, records.make_worker()), asked_at=time.monotonic())
    for step, loss in enumerate((None, float("nan"), float("inf"), 0.5), 1):
        held.on_step(step, 4, loss)
    told = held.progress()
    assert told is not None
    assert told[1].trace == [(4, 0.5)]


def test_a_message_that_comes_when_the_loop_has_ended_returns_at_once(sqlite: Database, tmp_path: Path) -> None:
    """Else the process would wait for its last task for ever."""
    settings = Settings(data_dir=tmp_path, threads=1, poll_seconds=0.01)
    store, scratch = Store.open(settings.store_url), Scratch(tmp_path / "scratch")

    class LateHeld(HeldClaims):
        """Ends the loop between the message's first look and its waiting."""

        loop: Loop

        @property
        def stopping(self) -> bool:
            seen = super().stopping
            if threading.current_thread() is late and not seen:
                self.loop.stop()
                self.loop.join()
            return seen

    held = LateHeld(settings.lease_seconds)
    held.loop = Loop(WorkerContext(settings, sqlite, store, scratch, records.make_worker()), held)
    late = threading.Thread(target=held.loop.wake_and_wait, daemon=True)
    held.loop.start()
    late.start()
    late.join(20)
    assert not late.is_alive()
    scratch.close()


@pytest.mark.slow
def test_workers_that_tidy_the_same_cache_at_once_do_not_stumble(sqlite: Database, tmp_path: Path) -> None:
    gate = threading.Barrier(4)

    def tidy(_: int) -> None:
        gate.wait()
        cache.tidy(sqlite, tmp_path / "cache")

    for _ in range(5):
        for number in range(100):
            folder = tmp_path / "cache" / "jobs" / f"job_{number}"
            folder.mkdir(parents=True)
            (folder / "prepared").touch()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(tidy, range(4)))
        assert list((tmp_path / "cache" / "jobs").iterdir()) == []


@pytest.mark.parametrize(
    ("cause", "answer"),
    [
        (TimeoutError(), True),
        (BadStatusLine("HTP"), True),
        (OSError(28, "disk full"), True),
        (None, False),
    ],
    ids=str,
)
def test_only_the_network_and_the_disk_get_another_try(cause: Exception | None, answer: bool) -> None:
    error = DataError("'https://there/data.zip' cannot be fetched")
    error.__cause__ = cause
    assert may_pass(error) is answer


def test_what_an_input_is_to_blame_for_is_final() -> None:
    assert not may_pass(ArchiveError("the archive is cut off"))
