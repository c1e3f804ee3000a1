"""Names from outside: which can be seen, which are one, how any is shown."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.naming import MAX_NAME, alike, is_name, is_seen, one_form, shown, visible

UNSEEN = [
    "\x00", "\x1b", "\x7f", "\x85", "\u00ad", "\u034f", "\u061c", "\u115f", "\u180e", "\u200b", "\u200d", "\u200e",
    "\u2028", "\u202e", "\u2060", "\u2066", "\u2800", "\u3164", "\ufeff", "\uffa0", "\ud800", "\ue000", "\U000e0041",
]  # fmt: skip


@pytest.mark.parametrize("char", UNSEEN, ids=ascii)
def test_what_shows_nothing_or_moves_other_text_is_no_part_of_a_name(char: str) -> None:
    assert not is_seen(f"a{char}b")
    assert not is_name(f"a{char}b")
    assert visible(f"a{char}b").isascii()
    assert shown(f"a{char}b") == f"'{visible(f'a{char}b')}'"


NAMES = ["cat", "traffic light", "chien-loup", "café", "犬", "سگ", "कुत्ता", "n\u00b0 5", "🐈", "a\u00a0b", "$x<y>"]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script_are_names(name: str) -> None:
    assert is_name(name)
    assert visible(name) == name


@pytest.mark.parametrize("name", ["", " ", "\u00a0", "x" * (MAX_NAME + 1)])
def test_nothing_and_too_much_is_no_name(name: str) -> None:
    assert not is_name(name)


@given(st.text())
def test_what_is_shown_can_always_be_seen(text: str) -> None:
    assert is_seen(visible(text))


@given(st.text(st.characters(max_codepoint=sys.maxunicode)))
def test_one_form_is_the_same_for_all_forms(text: str) -> None:
    assert one_form(unicodedata.normalize("NFD", text)) == one_form(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("cat ", "cat"), ("traffic  light", "traffic light"), ("a\u00a0b", "a b"), ("ﬁsh", "fish"),
     ("straße", "STRASSE"), ("cafe\u0301", "CAFÉ"), ("Ａ", "a")],
)  # fmt: skip
def test_names_that_nobody_can_tell_apart_are_alike(one: str, other: str) -> None:
    assert alike(one) == alike(other)


@pytest.mark.parametrize(("one", "other"), [("cat", "cats"), ("cafe", "café"), ("a b", "ab")])
def test_names_that_a_person_can_tell_apart_are_not(one: str, other: str) -> None:
    assert alike(one) != alike(other)
