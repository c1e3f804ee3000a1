"""The glossary: each word once and in order, and the words of the code are in the files that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "glossary.md").read_text()
SECTIONS = {
    text.splitlines()[0]: re.findall(r"^\| (.+?) \| (.+) \| `(.+)` \|$", text, re.MULTILINE)
    for text in PAGE.split("\n## ")[1:]
}
"""Section → its rows: a word, its meaning, and a file where it lives."""

WORDS = [word for rows in SECTIONS.values() for word, _, _ in rows]


def test_every_line_of_a_table_is_read() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith(("| word", "| ---"))]
    assert len(WORDS) == len(lines) > 0


def test_no_word_stands_twice() -> None:
    assert len(set(WORDS)) == len(WORDS)


@pytest.mark.parametrize("title", SECTIONS)
def test_words_stand_in_order(title: str) -> None:
    words = [word.strip("`").casefold() for word, _, _ in SECTIONS[title]]
    assert words == sorted(words)


@pytest.mark.parametrize(("word", "where"), [(w, p) for rows in SECTIONS.values() for w, _, p in rows if w[0] == "`"])
def test_a_name_of_the_code_is_in_the_file_that_is_named(word: str, where: str) -> None:
    assert re.search(rf"\b{word.strip('`')}\b", (ROOT / where).read_text())


def test_every_file_that_is_named_is_there() -> None:
    assert [where for rows in SECTIONS.values() for _, _, where in rows if not (ROOT / where).is_file()] == []
