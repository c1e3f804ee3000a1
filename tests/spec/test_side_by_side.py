"""Jobs side by side: fields in which specs differ, and cells that no spreadsheet runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.spec.side_by_side import Difference, differences, harmless

SPECS = st.recursive(
    st.none() | st.integers(0, 2) | st.sampled_from("ab"),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, max_size=3) | st.lists(inner, max_size=2),
    max_leaves=6,
)


def test_a_field_that_differs_has_its_way_and_each_value() -> None:
    one = {"merge": {"method": "negmerge", "agreement": 1.0}, "retain": {"dataset": "ds_1"}, "compare": []}
    other = {
        "merge": {"method": "ties", "agreement": 1.0},
        "retain": {"dataset": "ds_1"},
        "compare": ["uniform", "ties"],
    }
    assert differences([one, other]) == [
        Difference(("merge", "method"), ["negmerge", "ties"]),
        Difference(("compare",), ["[]", "uniform, ties"]),
    ]


def test_what_only_one_has_is_none_for_the_other_and_null_is_not_had() -> None:
    assert differences([{"require": {"forget_max": 0.1}}, {"require": None}]) == [
        Difference(("require", "forget_max"), ["0.1", None])
    ]


def test_points_are_told_by_what_they_vary() -> None:
    points = [{"learning_rate": rate, "epochs": epochs, "seed": None} for rate in (8e-5, 0.001) for epochs in (5, 15)]
    [told] = differences([{"points": points}, {}])
    assert told.values == ["4 points; learning rate 0.00008, 0.001; epochs 5, 15", None]


def test_points_that_vary_in_the_same_and_are_others_differ() -> None:
    one, other = ({"points": [{"epochs": first}, {"epochs": second}]} for first, second in ((1, 2), (2, 1)))
    assert [told.path for told in differences([one, other])] == [("points",)]


@given(st.dictionaries(st.sampled_from("xyz"), SPECS))
def test_a_spec_differs_in_nothing_from_itself(spec: dict[str, object]) -> None:
    assert differences([spec, spec]) == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x"])
def test_no_cell_is_taken_for_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize(("text", "seen"), [("\t=1", "\\t=1"), ("\r=1", "\\r=1"), ("a\u202eb", "a\\u202eb")])
def test_what_cannot_be_seen_is_shown_and_not_obeyed(text: str, seen: str) -> None:
    assert harmless(text) == seen


@pytest.mark.parametrize("text", ["", "1", "a=b", "'x"])
def test_all_other_cells_are_left_alone(text: str) -> None:
    assert harmless(text) == text
