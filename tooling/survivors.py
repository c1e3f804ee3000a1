"""What a run of mutmut left alive, tried again: each in a process of its own, with every test of its room.

mutmut forks its processes after the code is imported and runs no test that starts a server. So a mutant that only an
import or only PostgreSQL notices lives there, and ends here. Prints the figures as docs/testing.md has them, and what
each mutant that still lives changes.
"""

import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

MUTANTS = Path("mutants")
CONFIG = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
NO_MUTANT = "none"
LIMIT = 600.0
"""Seconds that the tests of a room may take; a mutant that makes them take longer is noticed."""

_CONSOLE = Console(soft_wrap=True, markup=False, highlight=False)


def main(room: str) -> None:
    """Try the survivors again whose names begin with ``room``, and print the table."""
    lines = map(str.strip, _mutmut("results", "--all", "true"))
    states = dict(line.split(": ") for line in lines if line.startswith(room) and ": " in line)
    if left := [name for name, state in states.items() if state not in ("killed", "survived", "timeout")]:
        raise SystemExit(f"{len(left)} mutants have no outcome, {left[0]} for one: run mutmut over them first")
    survivors = sorted(name for name, state in states.items() if state == "survived")
    for tests in sorted({_tests_of(_file(name)) for name in survivors}):
        if not _passes(tests, NO_MUTANT):
            raise SystemExit(f"{' '.join(tests)} fails in {MUTANTS}/ without any mutant: mend that first")
    with ThreadPoolExecutor(int(os.environ.get("TEST_JOBS", "2"))) as pool:
        passed = pool.map(lambda name: _passes(_tests_of(_file(name)), name), survivors)
        lives = dict(zip(survivors, passed, strict=True))
    _print_table(states, lives)
    for name in (name for name in survivors if lives[name]):
        _CONSOLE.print("", *_mutmut("show", name), sep="\n")


def _print_table(states: dict[str, str], lives: dict[str, bool]) -> None:
    files = Counter(map(_file, states))
    here = Counter(map(_file, lives))
    left = Counter(_file(name) for name, alive in lives.items() if alive)
    _CONSOLE.print("| File | Mutants | Noticed | In a process of its own | Alive |", "|---|---|---|---|---|", sep="\n")
    for file, count in sorted(files.items()):
        _CONSOLE.print(f"| `{file}` | {count} | {count - here[file]} | {here[file] - left[file]} | {left[file]} |")
    total, tried, alive = files.total(), here.total(), left.total()
    _CONSOLE.print(f"| all | {total} | {total - tried} | {tried - alive} | {alive} |")


def _passes(tests: Sequence[str], mutant: str) -> bool:
    environment = os.environ | {"MUTANT_UNDER_TEST": mutant}
    try:
        found = subprocess.run(
            [*PYTEST, *tests], cwd=MUTANTS, env=environment, timeout=LIMIT, capture_output=True, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return found.returncode == 0


def _tests_of(file: str) -> tuple[str, ...]:
    """Those of mutmut's tests that lie in the file's room, and what it leaves out of them."""
    room = "/".join(["tests", *Path(file).parts[1:-1]]) if Path(file).parts[1:-1] else f"tests/test_{Path(file).name}"
    left_out = [argument for argument in CONFIG["pytest_add_cli_args"] if argument.startswith("--deselect=")]
    chosen = CONFIG["pytest_add_cli_args_test_selection"]
    return *(one for one in chosen if one.startswith(room)), *left_out


def _file(name: str) -> str:
    """``app.record.leases.x__due__mutmut_4`` is of ``app/record/leases.py``."""
    return name.rpartition(".x")[0].replace(".", "/") + ".py"


def _mutmut(*arguments: str) -> list[str]:
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
