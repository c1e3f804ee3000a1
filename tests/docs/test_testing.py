"""docs/testing.md's figures of the mutants: of every file that is mutated, and the sums are sums."""

import re
import tomllib
from pathlib import Path

PAGE = Path("docs/testing.md").read_text()
ROWS = {
    row[0]: list(map(int, row[1:]))
    for row in re.findall(r"^\| (\S+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.M)
}
"""File (or files that were one, with +) → mutants, noticed, in a process of its own, alive."""


def test_every_mutated_file_has_its_row_and_no_other_has() -> None:
    config = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]
    rows = {file for row in ROWS.keys() - {"all"} for file in row.split("+")}
    assert {f"`{file}`" for file in config["only_mutate"]} == rows


def test_every_mutant_is_noticed_or_alive() -> None:
    assert all(mutants == sum(outcomes) for mutants, *outcomes in ROWS.values())


def test_the_last_row_is_the_sum_of_the_others() -> None:
    *files, last = ROWS.values()
    assert [sum(column) for column in zip(*files, strict=True)] == last


def test_whatever_is_alive_has_a_reason() -> None:
    reasons = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \|$", PAGE, re.M)
    assert sum(map(int, reasons)) == ROWS["all"][-1]
