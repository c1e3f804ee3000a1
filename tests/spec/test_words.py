"""A result in words: one sentence, what was forgotten, a figure with its interval."""

from typing import Any

import pytest

from negmerge.spec import words
from negmerge.spec.figures import Sides
from negmerge.spec.references import Select
from negmerge.spec.result import MethodRow, ResultDocument
from tests.support.results import SPEC, document, figure

COUNTS = {"train": 8, "validation": 1, "test": 18}
NO_TEST = {"train": 12, "validation": 0, "test": 0}


def result(select: dict[str, Any] | None, *, part: str = "test", **changes: Any) -> ResultDocument:
    """16 of 18 right before, 1 after; of the rest 159 of 161, and 156."""

    def row(forget: int, retain: int) -> MethodRow:
        sides = {"test": Sides(retain=figure(retain, 161)), part: Sides(forget=figure(forget, 18))}
        if part == "test":
            sides["test"] = Sides(forget=figure(forget, 18), retain=figure(retain, 161))
        return MethodRow.model_validate(sides)

    forget = {"uri": "digits.zip"} | ({} if select is None else {"select": select})
    retain = {"uri": "control.zip"}
    splits = {"forget": COUNTS if part == "test" else NO_TEST, "retain": COUNTS}
    methods = {"base": row(16, 159), "negmerge": row(1, 156)}
    return document(spec=SPEC | {"forget": forget, "retain": retain}, splits=splits, methods=methods, **changes)


KEPT = "96.9 % of the rest is still right (98.8 % before)."


@pytest.mark.parametrize(
    ("select", "part", "clause"),
    [
        ({"classes": ["seven"]}, "test", "recognises “seven” in 1 of 18 test images (16 before)"),
        ({"classes": ["seven", "nine"]}, "test", "recognises “seven” or “nine” in 1 of 18 test images (16 before)"),
        (
            {"classes": list("abcdefg")},
            "test",
            "recognises “a”, “b”, “c”, “d”, “e” or 2 more classes in 1 of 18 test images (16 before)",
        ),
        ({"ids": ["a", "b"]}, "train", "is right on 1 of 18 forgotten samples (16 before)"),
        (None, "test", "is right on 1 of 18 test images of what was to be forgotten (16 before)"),
    ],
    ids=["a class", "two classes", "many", "samples", "a whole set"],
)
def test_the_sentence_counts_what_is_still_known_and_what_is_still_right(
    select: dict[str, Any] | None, part: str, clause: str
) -> None:
    assert words.sentence(result(select, part=part)) == f"The model {clause}; {KEPT}"


def test_where_nothing_was_measured_the_sentence_says_so() -> None:
    empty = {"base": MethodRow(), "negmerge": MethodRow()}
    assert words.sentence(document(methods=empty)) == "There were no samples to measure the model on."


@pytest.mark.parametrize(
    ("select", "told"),
    [
        (None, "a whole data set"),
        ({"classes": ["seven"]}, "the class “seven”"),
        ({"classes": ["a\u202eb", "c"]}, "the classes “a\\u202eb”, “c”"),
        ({"classes": list("abcdefg")}, "the classes “a”, “b”, “c”, “d”, “e” and 2 more"),
        ({"ids": ["a"]}, "1 listed sample"),
        ({"ids": ["a", "b"]}, "2 listed samples"),
        ({"fraction": 0.1}, "a random 10 % of the training samples"),
    ],
)
def test_what_was_forgotten_in_words(select: dict[str, Any] | None, told: str) -> None:
    assert words.forgotten(None if select is None else Select.model_validate(select)) == told


def test_where_the_scale_was_chosen_depends_on_what_is_forgotten() -> None:
    assert words.searched_on(result({"classes": ["seven"]}).splits) == "validation data"
    told = words.searched_on(result({"ids": ["a"]}, part="train").splits)
    assert told == "the forgotten samples themselves and validation data of what stays"


def test_figures_without_samples_are_a_dash_and_not_a_zero() -> None:
    assert (words.percent(None), words.with_interval(None)) == ("–", "–")
