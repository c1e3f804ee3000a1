"""Objects that are fetched ahead: in order, few at a time, and no further than they are wanted."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.settings import Settings
from app.store.objects import ObjectMissing
from negmerge.progress import ignore
from tests.support.worker_contexts import worker_context
from worker.context import WorkerContext
from worker.fetching import AHEAD, fetched
from worker.held_claims import Reason, Stopped

KEYS = [f"partials/{number}" for number in range(10)]


@pytest.fixture
def context(tmp_path: Path) -> Iterator[WorkerContext]:
    """With an object for each key, which holds it."""
    with worker_context(Settings(data_dir=tmp_path / "data"), tmp_path / "scratch" / "mine") as context:
        for key in KEYS:
            file = tmp_path / "file"
            file.write_text(key)
            context.store.put_file(key, file)
        yield context


def left_behind(tmp_path: Path) -> list[Path]:
    """What lies in the scratch folder but for its lock."""
    return [path for path in (tmp_path / "scratch" / "mine").rglob("*") if path.name != "lock"]


def test_each_comes_in_order_and_none_is_left(context: WorkerContext, tmp_path: Path) -> None:
    assert [path.read_text() for path in fetched(context, KEYS, ignore)] == KEYS
    assert left_behind(tmp_path) == []


def test_no_more_lie_there_than_are_fetched_ahead(context: WorkerContext) -> None:
    most = max(len(list(path.parent.iterdir())) for path in fetched(context, KEYS, ignore))
    assert most <= AHEAD


def test_one_who_needs_no_more_leaves_nothing(context: WorkerContext, tmp_path: Path) -> None:
    with closing(fetched(context, KEYS, ignore)) as files:
        next(files)
    assert left_behind(tmp_path) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")]


def test_it_stops_where_a_step_is_stopped(context: WorkerContext, tmp_path: Path) -> None:
    def on_step(used: int, _total: int, _loss: float | None) -> None:
        if used == 2:
            raise Stopped(Reason.CANCELLED)

    with pytest.raises(Stopped):
        list(fetched(context, KEYS, on_step))
    assert left_behind(tmp_path) == []


def test_one_that_is_missing_is_told(context: WorkerContext) -> None:
    context.store.delete([KEYS[4]])
    with pytest.raises(ObjectMissing, match="partials/4"):
        list(fetched(context, KEYS, ignore))
