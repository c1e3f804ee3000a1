"""docs/bad-input.md names tests that are there."""

import re
from pathlib import Path

import pytest

PAGE = Path("docs/bad-input.md").read_text()
NAMED = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", PAGE)


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| What comes")]
    assert rows
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: value if value.startswith("test_") else "")
def test_the_test_is_there(file: str, name: str) -> None:
    assert f"def {name}(" in Path(file).read_text()
