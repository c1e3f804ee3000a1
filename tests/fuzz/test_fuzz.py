"""A short run of the fuzzer on every parser (``make fuzz`` is the long one), and that it finds what there is."""

import random
import time

import pytest

from negmerge.errors import ArchiveError
from tooling import fuzz as fuzzing
from tooling.fuzz import changed, fuzz, in_own_process
from tooling.fuzz_targets import TARGETS, Target

pytestmark = pytest.mark.slow

TRIES = 1000


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_takes_or_refuses_whatever_comes(name: str) -> None:
    outcome = in_own_process(name, TRIES, seconds=30, seed=12)
    assert outcome.finds == []
    assert outcome.executions >= min(TRIES, 100)
    assert outcome.paths > 10


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_takes_its_first_seed(name: str) -> None:
    TARGETS[name].run(TARGETS[name].seeds[0])


def breaks_on_a_word(content: bytes) -> None:
    if b"BREAK" in content:
        raise ZeroDivisionError
    raise ArchiveError("refused")


def test_an_exception_that_is_no_refusal_is_a_find() -> None:
    outcome = fuzz(Target(breaks_on_a_word, [b"seed"], [b"BREAK"]), executions=500, seconds=10, seed=1)
    assert outcome.finds[0]["error"].startswith("ZeroDivisionError")
    assert b"BREAK" in bytes.fromhex(outcome.finds[0]["input"])


def test_an_input_that_takes_too_long_is_a_find(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzing, "SECONDS_AN_INPUT", 1)
    outcome = fuzz(Target(lambda _content: time.sleep(30), [b"seed"]), executions=1, seconds=10, seed=1)
    assert outcome.finds[0]["error"] == "TimeoutError: took more than 1 s"


def test_a_process_that_dies_is_a_find() -> None:
    outcome = in_own_process("no such parser", 1, 1, 1)
    assert "the process ended with 1" in outcome.finds[0]["error"]


def test_the_same_seed_changes_an_input_in_the_same_way() -> None:
    def inputs(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [changed(chance, b"some seed", [b"other"], [b"word"]) for _ in range(100)]

    assert inputs(1) == inputs(1) != inputs(2)
