"""Wrong fields are cut while they are found: of each object, and of each list without a bound."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.intake.registration import DatasetIn
from negmerge.errors import SpecError
from negmerge.spec.fields import MAX_ERRORS, Part
from negmerge.spec.job import JobSpec, parse
from tests.support.records import make_spec

GOOD = make_spec().model_dump(mode="json", exclude_none=True)
MANY = 20_000
UNKNOWN = {f"k{number}": 1 for number in range(MANY)}


def with_part(name: str, **more: Any) -> dict[str, Any]:
    return GOOD | {name: {**GOOD.get(name, {}), **more}}


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (JobSpec, GOOD | UNKNOWN),
        (JobSpec, with_part("base_model", **UNKNOWN)),
        (JobSpec, with_part("merge", **UNKNOWN)),
        (JobSpec, GOOD | {"sweep": {"points": [{f"k{number}": 1 for number in range(32)}] * 600}}),
        (JobSpec, GOOD | {"sweep": {"points": [1] * 600}}),
        (JobSpec, GOOD | {"rivals": UNKNOWN}),
        (JobSpec, GOOD | {"metadata": UNKNOWN}),
        (JobSpec, with_part("forget", select={"classes": [1] * MANY})),
        (DatasetIn, UNKNOWN),
        (DatasetIn, {"class_names": UNKNOWN}),
        (DatasetIn, {"templates": [1] * MANY}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_no_more_errors_of_a_part_are_made_than_are_told(kind: type[Part], document: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(document)
    assert 1 <= caught.value.error_count() <= MAX_ERRORS


def test_the_first_hundred_unknown_fields_are_told_and_wrong_values_of_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        parse({**GOOD, "repeats": 0, **UNKNOWN})
    pointers = [error.pointer for error in caught.value.errors]
    assert pointers == ["/repeats", *(f"/k{number}" for number in range(MAX_ERRORS - 1))]


def test_an_object_with_any_keys_is_looked_through_up_to_the_first_wrong_hundred() -> None:
    words = {f"class {number}": "words" for number in range(250)} | {"last": 7}
    with pytest.raises(ValidationError) as caught:
        DatasetIn.model_validate({"class_names": words})
    assert [error["loc"] for error in caught.value.errors()] == [("class_names", "last")]


def test_an_object_with_any_keys_is_taken_whole_and_in_order() -> None:
    words = {f"class {number}": f"words {number}" for number in reversed(range(250))}
    assert list(DatasetIn.model_validate({"class_names": words}).class_names.items()) == list(words.items())


def test_more_metadata_than_may_be_is_told_with_its_number() -> None:
    with pytest.raises(SpecError, match=r"^/metadata: has 17 entries, of at most 16$"):
        parse(GOOD | {"metadata": {str(number): "x" for number in range(17)}})
