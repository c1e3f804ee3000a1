"""When another worker joins those that share a device, by readings as nvidia-smi gives them."""

from collections.abc import Sequence

import pytest

from app.embedded.sharing import LOOK_SECONDS, LOOKS, MOST, Reading, Sharing, reading_of

IDLE = Reading(busy=0.3, memory=0.1)


def joins(readings: Sequence[Reading | None], running: int = 1, device: str = "auto") -> list[bool]:
    """For each reading, one look after the other, whether another worker is due."""
    waiting = iter(readings)
    sharing = Sharing("auto", device, lambda: next(waiting))
    return [sharing.another(running, look * LOOK_SECONDS) for look in range(1, len(readings) + 1)]


def test_a_number_is_what_is_started_and_no_more() -> None:
    sharing = Sharing(3, "cuda", lambda: IDLE)
    assert sharing.first == 3
    assert not any(sharing.another(3, look * LOOK_SECONDS) for look in range(2 * LOOKS))


def test_one_joins_when_all_looks_saw_an_idle_device_and_then_they_are_counted_anew() -> None:
    assert joins([IDLE] * 2 * LOOKS) == [*[False] * (LOOKS - 1), True] * 2


def test_between_two_looks_the_device_is_not_asked() -> None:
    sharing = Sharing("auto", "cuda", lambda: IDLE)
    assert not any(sharing.another(1, LOOK_SECONDS + 0.01 * ask) for ask in range(100))


@pytest.mark.parametrize(
    "readings",
    [
        [Reading(0.6, 0.1)] * LOOKS,  # busy
        [*[IDLE] * (LOOKS - 1), Reading(0.3, 0.5)],  # its memory was more than half full once
        [*[IDLE] * (LOOKS - 1), Reading(0.0, 0.1)],  # nothing is trained
        [*[IDLE] * (LOOKS - 1), None],  # no answer
    ],
    ids=["busy", "full", "at rest", "silent"],
)
def test_none_joins_a_device_that_is(readings: list[Reading | None]) -> None:
    assert not any(joins(readings))


def test_memory_is_shared_out_over_those_that_run() -> None:
    assert not any(joins([Reading(0.3, 0.7)] * LOOKS, running=2))
    assert any(joins([Reading(0.3, 0.6)] * LOOKS, running=2))


def test_there_are_never_more_than_four() -> None:
    assert not any(joins([IDLE] * LOOKS, running=MOST))


def test_on_the_cpu_one_has_all() -> None:
    assert not any(joins([IDLE] * LOOKS, device="cpu"))


def test_what_nvidia_smi_prints_is_read() -> None:
    assert reading_of("34, 5120, 81920\n") == Reading(0.34, 0.0625)


@pytest.mark.parametrize("told", ["", "[N/A], 5120, 81920", "34, 5120"])
def test_what_it_cannot_say_is_no_reading(told: str) -> None:
    with pytest.raises(ValueError):
        reading_of(told)
