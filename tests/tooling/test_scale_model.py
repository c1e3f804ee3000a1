"""The simulation of many workers, where what it must say can be reckoned by hand."""

from dataclasses import replace

import pytest

from benchmarks.scale_model import Costs, Work, simulate

FREE = Costs(claim=0, finish=0, flush=0, renew=0, save=0, put=0, get=0, combine=0)
JOB = Work(points=100, seconds=1.0, partial=1e6)


@pytest.mark.parametrize(("workers", "seconds"), [(1, 100), (10, 10), (100, 1), (7, 15)])
def test_where_all_else_is_free_the_time_is_that_of_the_points(workers: int, seconds: float) -> None:
    assert simulate(workers, JOB, FREE).seconds == seconds


def test_a_record_that_is_asked_by_more_than_it_serves_sets_the_pace() -> None:
    found = simulate(100, JOB, replace(FREE, claim=1.0))
    assert found.seconds >= 100
    assert found.record == 1.0


def test_combining_takes_as_long_as_the_slower_of_fetching_and_adding_all_partials() -> None:
    assert simulate(10, JOB, replace(FREE, get=1e-6, combine=2e-6)).combining == pytest.approx(20)


def test_a_flush_holds_its_own_worker_and_the_store_holds_all() -> None:
    assert simulate(1, JOB, replace(FREE, save=1e-6)).seconds == pytest.approx(104)  # three in between, one at the end
    assert simulate(10, JOB, replace(FREE, put=1e-6)).seconds == pytest.approx(20)  # ten, one after the other
