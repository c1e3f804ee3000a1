"""A result in words: one sentence, what was forgotten, a figure with its interval."""

from typing import Any

import pytest

from negmerge.spec import words
from negmerge.spec.figures import Sides
from negmerge.spec.intervals import wilson
from negmerge.spec.job import parse
from negmerge.spec.references import Select
from negmerge.spec.result import MethodRow, Named, ResultDocument
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


KEPT = "96.9 % of what was to stay is still right (98.8 % before)."


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


@pytest.mark.parametrize(
    ("retain", "told", "rest"),
    [
        ({"uri": "digits.zip"}, "all else of the same data set", "the rest"),
        (
            {"uri": "digits.zip", "select": {"classes": ["one"]}},
            "the class “one”, of the same data set",
            "what was to stay",
        ),
        ({"uri": "control.zip"}, "control.zip", "what was to stay"),
        ({"uri": "control.zip", "select": {"classes": ["one"]}}, "the class “one”, of control.zip", "what was to stay"),
    ],
)
def test_what_was_to_stay_is_named_as_it_was_asked(retain: dict[str, Any], told: str, rest: str) -> None:
    found = result({"classes": ["seven"]})
    asked = found.asked.model_copy(update={"retain": Named(name=retain["uri"])})
    spec = parse(SPEC | {"forget": {"uri": "digits.zip", "select": {"classes": ["seven"]}}, "retain": retain})
    document = found.model_copy(update={"asked": asked, "spec": spec})
    assert words.asked_to_keep(document) == told
    assert f"96.9 % of {rest} is still right" in words.sentence(document)


def test_one_image_is_no_images() -> None:
    one = result({"classes": list("abcdef")})
    own = one.methods["negmerge"].model_copy(update={"test": Sides(forget=figure(0, 1), retain=figure(156, 161))})
    told = words.sentence(one.model_copy(update={"methods": one.methods | {"negmerge": own}}))
    assert told.startswith("The model recognises “a”, “b”, “c”, “d”, “e” or 1 more class in 0 of 1 test image (")


def test_a_list_is_counted_as_what_it_was_found_to_name() -> None:
    twice = result({"ids": ["a", "./a", "a"]}, part="train", outcome="unlearned")
    counted = twice.splits.model_copy(update={"forget": twice.splits.forget.model_copy(update={"train": 1})})
    assert words.heading(twice.model_copy(update={"splits": counted})) == "Unlearned: 1 listed sample"


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (0.05, "5 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.963, "96.3 %"),
        (0.05555, "5.555 %"),
        (1e-5, "0.001 %"),
        (0.1, "10 %"),
    ],
)
def test_what_somebody_wrote_is_repeated_as_it_was_written(share: float, told: str) -> None:
    assert words.exactly(share) == told


@pytest.mark.parametrize(
    ("correct", "limit", "told"),
    [
        (1, 0.0556, "5.556 % (1.0–25.8)"),
        (1, 0.1, "5.6 % (1.0–25.8)"),
        (9, 0.5, "50.0 % (29.0–71.0)"),
        (0, 0.00001, "0.0 % (0.0–17.6)"),
    ],
)
def test_a_figure_beside_a_limit_has_the_decimals_that_tell_them_apart(correct: int, limit: float, told: str) -> None:
    assert words.beside(figure(correct, 18, *wilson(correct, 18)), limit) == told


def test_a_scale_that_the_spec_fixes_was_not_chosen() -> None:
    fixed = document(rule="fixed", scale=0.5)
    assert words.chosen(fixed).startswith("λ is 0.5, as the spec fixes it")


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
