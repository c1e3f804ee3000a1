"""``make fuzz``: put broken input into every parser, and look for what it does besides taking or refusing it.

Inputs are changed at random; one that reaches lines, or steps from line to line, that none reached before is kept and
changed further. Each parser runs in a process of its own with a limit on memory, and each input within a few seconds.
A find is an exception that is no refusal, memory over the limit, or an input that takes too long; it is kept in
``var/fuzz``.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from tooling.fuzz_targets import TARGETS, Target

MEMORY = 2**30
"""Bytes that a process may take beside what its libraries have taken already."""
SECONDS_AN_INPUT = 10
_MOST_BYTES = 2**16
_KEPT = 2000
_INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
_ROOMS = ("/negmerge/", "/app/")


@dataclass
class Outcome:
    """What became of one parser: inputs that were tried, steps between lines that were reached, and the finds."""

    executions: int = 0
    paths: int = 0
    kept: int = 0
    finds: list[dict[str, str]] = field(default_factory=list)


def fuzz(target: Target, executions: int, seconds: float, seed: int) -> Outcome:
    """Try so many inputs, for so long at most. Deterministic where time does not end it."""
    chance, reached, outcome = random.Random(seed), set[tuple[str, int, int]](), Outcome()
    kept = list(target.seeds)
    ends = time.monotonic() + seconds
    for content in kept:
        _try(target, content, reached, outcome)
    while outcome.executions < executions and time.monotonic() < ends and len(outcome.finds) < 10:
        content = changed(chance, chance.choice(kept), kept, target.words)
        before = len(reached)
        _try(target, content, reached, outcome)
        if len(reached) > before and len(kept) < _KEPT:
            kept.append(content)
    outcome.paths, outcome.kept = len(reached), len(kept) - len(target.seeds)
    return outcome


def changed(chance: random.Random, content: bytes, others: list[bytes], words: Any) -> bytes:
    """The input with one to eight changes: bits, bytes, numbers, words, pieces cut, doubled, or from another input."""
    data = bytearray(content)
    for _ in range(2 ** chance.randrange(4)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + 2 ** chance.randrange(8))
        match chance.randrange(8):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(data):
                data[at] = chance.randrange(256)
            case 2:
                size, order = chance.choice((1, 2, 4, 8)), chance.choice(_ORDERS)
                number = chance.choice(_INTERESTING) % 2 ** (8 * size)
                data[at : at + size] = number.to_bytes(size, order)
            case 3 if words:
                data[at:at] = chance.choice(words)
            case 4:
                del data[at:end]
            case 5:
                data[at:at] = data[at:end]
            case 6:
                other = chance.choice(others)
                data[at:end] = other[at : at + chance.randrange(64)]
            case _:
                data[at:at] = str(chance.choice(_INTERESTING)).encode()
    return bytes(data[:_MOST_BYTES])


def _try(target: Target, content: bytes, reached: set[tuple[str, int, int]], outcome: Outcome) -> None:
    outcome.executions += 1
    try:
        with _watched(reached), _within(SECONDS_AN_INPUT):
            target.run(content)
    except target.refusals:
        pass
    except BaseException as error:  # a panic of a library's Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome.finds.append({"error": f"{type(error).__name__}: {error}"[:300], "input": content.hex()})


@contextmanager
def _watched(reached: set[tuple[str, int, int]]) -> Iterator[None]:
    """Note each step from line to line in our own rooms. No frame is kept: with it all that it holds would be."""
    before = 0

    def on_line(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal before
        if event == "line":
            reached.add((frame.f_code.co_filename, before, frame.f_lineno))
            before = frame.f_lineno
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: object) -> Any:
        return on_line if any(room in frame.f_code.co_filename for room in _ROOMS) else None

    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(None)


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def in_own_process(name: str, executions: int, seconds: float, seed: int) -> Outcome:
    """As ``fuzz``, in a process with a limit on memory. One that dies is a find too."""
    command = [sys.executable, "-m", "tooling.fuzz", "--child", name, str(executions), str(seconds), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    if done.returncode:
        return Outcome(
            finds=[{"error": f"the process ended with {done.returncode}: {done.stderr[-500:]}", "input": ""}]
        )
    return Outcome(**json.loads(done.stdout))


def _child(name: str, executions: str, seconds: str, seed: str) -> None:
    with suppress(*TARGETS[name].refusals):
        TARGETS[name].run(TARGETS[name].seeds[0])  # so that what it imports is there
    most = MEMORY + int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    json.dump(asdict(fuzz(TARGETS[name], int(executions), float(seconds), int(seed))), sys.stdout)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Print a line for each parser; 1 where anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="by default all")
    parser.add_argument("--seconds", type=float, default=60, help="for each parser")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = int(time.time()) if options.seed is None else options.seed
    _say(f"seed {seed}\n{'parser':18}{'executions':>12}{'steps':>8}{'kept':>8}{'finds':>8}")
    found = 0
    for name in options.targets or TARGETS:
        outcome = in_own_process(name, sys.maxsize, options.seconds, seed)
        _say(f"{name:18}{outcome.executions:12}{outcome.paths:8}{outcome.kept:8}{len(outcome.finds):8}")
        found += len(outcome.finds)
        for number, find in enumerate(outcome.finds):
            path = Path("var/fuzz") / f"{name.replace('.', '-')}-{seed}-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes.fromhex(find["input"]))
            _say(f"  {path}: {find['error']}")
    return 1 if found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        _child(*sys.argv[2:])
    else:
        sys.exit(main())
