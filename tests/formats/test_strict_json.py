"""JSON of strangers: how much of it is taken. What else is refused, tests/api/test_problems.py sends."""

import pytest

from negmerge.formats.strict_json import MAX_KEYS, MAX_VALUES, NotStrict, loads


def keys(count: int) -> str:
    """An object with so many keys."""
    return "{" + ",".join(f'"{number:x}":0' for number in range(count)) + "}"


def test_as_many_values_as_the_limit_says_are_taken() -> None:
    text = "[" + ",".join(["0"] * (MAX_VALUES - 1)) + "]"  # and the list itself
    assert len(loads(text)) == MAX_VALUES - 1


@pytest.mark.parametrize("value", ["0", "[]", "{}", '"x"', "null"])
def test_one_value_more_is_refused(value: str) -> None:
    text = "[" + ",".join([value] * MAX_VALUES) + "]"
    with pytest.raises(NotStrict, match=f"^JSON may have {MAX_VALUES} values, commas in its strings included$"):
        loads(text)


def test_as_many_keys_as_the_limit_says_are_taken() -> None:
    assert len(loads(keys(MAX_KEYS))) == MAX_KEYS


@pytest.mark.parametrize("text", [keys(MAX_KEYS + 1), f'[{keys(MAX_KEYS)}, {{"one": 0}}]'], ids=["in one", "in two"])
def test_one_key_more_is_refused(text: str) -> None:
    with pytest.raises(NotStrict, match=f"^JSON may have {MAX_KEYS} keys in all its objects$"):
        loads(text)


def test_each_text_is_counted_for_itself() -> None:
    for _ in range(2):
        loads(keys(MAX_KEYS))
