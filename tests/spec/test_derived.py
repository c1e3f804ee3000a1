"""A job from another's accumulators: what it takes over, what it may say, what it can be had of."""

from typing import Any

import pytest

from negmerge.errors import SpecError
from negmerge.spec.derived import DerivedJobSpec, derive, must_fold_again
from negmerge.spec.job import JobSpec, parse

FIRST = "job_" + "0" * 26
DOCUMENT: dict[str, Any] = {
    "base_model": {"family": "open_clip", "weights": "mdl_1"},
    "forget": {"dataset": "ds_1", "select": {"classes": ["seven"]}},
    "retain": {"dataset": "ds_1"},
    "sweep": {"grid": {"epochs": [1, 2, 3]}, "seed": 4},
    "merge": {"method": "ties", "density": 0.3},
    "scale_search": {"keep": 0.9},
    "compare": ["uniform", "task_arithmetic"],
    "repeats": 2,
    "metadata": {"ticket": "DSR-1"},
}


def original(**changes: Any) -> JobSpec:
    return parse(DOCUMENT | changes)


def derived(of: JobSpec | None = None, **document: Any) -> JobSpec:
    return derive({"from_job": FIRST} | document, FIRST, original() if of is None else of)


def wrong(of: JobSpec | None = None, **document: Any) -> dict[str, str]:
    """What is wrong, by JSON pointer."""
    with pytest.raises(SpecError) as caught:
        derived(of, **document)
    return {error.pointer: error.detail for error in caught.value.errors}


def test_what_is_not_named_is_the_first_jobs_but_for_what_is_its_own() -> None:
    first = original(keep_task_vectors=True)
    spec = derived(first)
    assert spec == first.model_copy(update={"from_job": FIRST, "metadata": {}, "keep_task_vectors": False})


def test_what_may_be_named_is_told_with_the_types_of_a_whole_spec_and_without_defaults() -> None:
    """Whoever sends a default asks for it, and would lose what the first job had."""
    told, whole = DerivedJobSpec.model_json_schema(), JobSpec.model_json_schema()
    assert told["properties"].keys() == {"from_job", "retain", "merge", "scale_search", "require", "compare"} | {
        "deliver",
        "metadata",
    }
    assert told["required"] == ["from_job"]
    assert [name for name, field in told["properties"].items() if "default" in field] == []
    for name in ("merge", "scale_search", "retain", "require"):
        assert told["properties"][name]["$ref"] in str(whole["properties"][name])


def test_what_it_holds_is_what_was_named() -> None:
    asked: dict[str, Any] = {"from_job": FIRST, "compare": [], "scale_search": {"rule": "fixed", "scale": 0.5}}
    spec = DerivedJobSpec.model_validate(asked)
    assert spec.model_dump(mode="json", exclude_unset=True) == asked
    assert derived(**asked) == derived(**spec.model_dump(mode="json", exclude_unset=True))


def test_a_longer_curve_takes_no_comparison_away() -> None:
    spec = derived(scale_search={"keep": 0.9, "curve": "full"})
    assert spec.compare == ["uniform", "task_arithmetic"]


def test_all_that_is_merged_and_measured_may_be_otherwise() -> None:
    asked = {
        "retain": {"dataset": "ds_2"},
        "merge": {"method": "negmerge", "agreement": 0.8},
        "scale_search": {"rule": "fixed", "scale": 0.5},
        "require": {"forget_max": 0.1},
        "compare": ["relaxed", "ties"],
        "metadata": {"ticket": "DSR-2"},
    }
    spec = derived(original(merge={"method": "ties"}), **asked)
    assert spec.model_dump(mode="json", exclude_unset=True) | asked == spec.model_dump(mode="json", exclude_unset=True)
    assert spec.sweep == original().sweep


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("base_model", {"family": "open_clip", "weights": "mdl_2"}),
        ("forget", {"dataset": "ds_1", "select": {"classes": ["one"]}}),
        ("sweep", {"grid": {"epochs": [1, 2]}}),
        ("repeats", 1),
    ],
)
def test_what_the_points_are_of_may_be_named_again_and_not_be_another(name: str, other: Any) -> None:
    assert derived(**{name: DOCUMENT[name]}) == derived()
    assert list(wrong(**{name: other})) == [f"/{name}"]


@pytest.mark.parametrize("method", ["negmerge", "relaxed", "uniform"])
def test_what_negmerge_adds_up_can_always_be_had(method: str) -> None:
    first = original(merge={"method": "magmax"}, compare=[])
    spec = derived(first, merge={"method": method})
    assert not must_fold_again(spec, first)


def test_a_method_that_was_not_added_up_is_refused_with_what_would_help() -> None:
    told = wrong(merge={"method": "negmerge"}, compare=["uniform", "magmax"])
    assert list(told) == ["/compare/1"]
    assert "magmax was not among the methods of job_" in told["/compare/1"]
    assert "keep_task_vectors" in told["/compare/1"]


def test_ties_was_added_up_with_one_density() -> None:
    assert derived(merge={"method": "ties", "density": 0.3}, compare=[]).merge.density == 0.3
    assert "density 0.3" in wrong(merge={"method": "ties", "density": 0.2}, compare=[])["/merge/method"]


def test_kept_task_vectors_give_every_method_that_is_added_up() -> None:
    first = original(keep_task_vectors=True)
    for merge in ({"method": "magmax"}, {"method": "ties", "density": 0.1}):
        assert must_fold_again(derived(first, merge=merge, compare=[]), first)


@pytest.mark.parametrize("change", [{"retain": {"dataset": "ds_2"}}, {"scale_search": {"keep": 0.5}}])
def test_the_best_single_point_stands_only_where_it_would_be_searched_alike(change: dict[str, Any]) -> None:
    assert "task_arithmetic" in derived().compare
    assert list(wrong(compare=["task_arithmetic"], **change)) == ["/compare/0"]


def test_a_comparison_that_is_not_named_is_the_first_jobs_as_far_as_it_can_be_had() -> None:
    assert derived(retain={"dataset": "ds_2"}).compare == ["uniform"]


def test_no_point_was_searched_where_nothing_asked_for_it() -> None:
    told = wrong(original(compare=[]), compare=["task_arithmetic"])
    assert "no point was searched" in told["/compare/0"]


def test_a_greedy_soup_needs_a_new_job() -> None:
    first = original(compare=["greedy"], keep_task_vectors=True)
    assert derived(first).compare == []
    assert "submit a new job" in wrong(first, compare=["greedy"])["/compare/0"]


CLASSIFIER = {
    "base_model": {"family": "timm", "weights": "mdl_1"},
    "merge": {"method": "negmerge"},
    "compare": ["retrain", "uniform"],
    "rivals": {"retrain": {"epochs": 3}},
}


def test_rivals_are_left_behind_and_cannot_be_named() -> None:
    first = original(**CLASSIFIER)
    assert derived(first).compare == ["uniform"]
    assert derived(first).rivals == {}
    assert "trains in its own way" in wrong(first, compare=["uniform", "retrain"])["/compare"]


def test_a_rule_that_trains_a_model_must_be_another() -> None:
    first = original(**CLASSIFIER, scale_search={"rule": "match_retrained"})
    assert "take another rule" in wrong(first)["/scale_search/rule"]
    assert derived(first, scale_search={"rule": "lowest_forget"}).scale_rule == "lowest_forget"


def test_there_is_no_vector_to_keep() -> None:
    assert list(wrong(keep_task_vectors=True)) == ["/keep_task_vectors"]


def test_unknown_fields_and_wrong_values_are_named_as_ever() -> None:
    assert list(wrong(marge={}, scale_search={"keep": 2})) == ["/scale_search/keep", "/marge"]


@pytest.mark.parametrize("name", ["", "job_1", "ds_1", "job_" + "g" * 26, "../job", "job_" + "0" * 26 + "\n"])
def test_the_name_of_a_job_has_its_form(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(DOCUMENT | {"from_job": name})
    assert [error.pointer for error in caught.value.errors] == ["/from_job"]
