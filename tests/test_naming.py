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
    "\ufe00", "\ufe0f", "\U000e0100", "\U000e01ef", "\u2065", "\ufff0", "\U0001bca0", "\U0001d173", "\U0001d159",
]  # fmt: skip


@pytest.mark.parametrize("char", UNSEEN, ids=ascii)
def test_what_shows_nothing_or_moves_other_text_is_no_part_of_a_name(char: str) -> None:
    assert not is_seen(f"a{char}b")
    assert not is_name(f"a{char}b")
    assert visible(f"a{char}b").isascii()
    assert shown(f"a{char}b") == f"'{visible(f'a{char}b')}'"


IGNORABLE = [
    *(0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), *range(0x200B, 0x2010)),
    *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE10), 0xFEFF, 0xFFA0),
    *(*range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B), *range(0xE0000, 0xE1000)),
]
"""DerivedCoreProperties.txt of Unicode 15.1, Default_Ignorable_Code_Point."""


def test_nothing_that_unicode_has_ignored_by_default_is_seen() -> None:
    assert [hex(code) for code in IGNORABLE if is_seen(chr(code))] == []


def test_an_emoji_with_a_selector_is_no_name_and_the_selector_is_named() -> None:
    assert is_name("\u2764")
    assert not is_name("\u2764\ufe0f")
    assert shown("\u2764\ufe0f") == "'\u2764\\ufe0f'"


@pytest.mark.parametrize("space", ["\u00a0", "\u1680", "\u2003", "\u202f", "\u205f", "\u3000"], ids=ascii)
def test_a_space_that_only_looks_like_one_is_escaped_in_a_message(space: str) -> None:
    assert shown(f"a{space}b c") == f"'a{ascii(space)[1:-1]}b c'"
    assert visible(f"a{space}b c") == f"a{space}b c"


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
