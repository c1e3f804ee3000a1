"""How long a worker waits after failures in a row."""

from app.record.retries import MOST_SECONDS
from worker.backoff import Backoff


def waits(backoff: Backoff, failures: int) -> list[float]:
    found = []
    for _ in range(failures):
        backoff.failed()
        found.append(backoff.seconds)
    return found


def test_the_wait_doubles_up_to_a_minute() -> None:
    assert waits(Backoff(1.0), 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_success_ends_the_row() -> None:
    backoff = Backoff(0.5)
    waits(backoff, 5)
    backoff.succeeded()
    assert backoff.seconds == 0.5
    assert waits(backoff, 2) == [0.5, 1.0]


def test_however_many_failures_there_were_it_is_a_minute() -> None:
    assert waits(Backoff(0.1), 5000)[-1] == MOST_SECONDS


def test_a_worker_that_looks_seldom_does_not_look_oftener_for_it() -> None:
    assert waits(Backoff(300.0), 2) == [300, 300]
