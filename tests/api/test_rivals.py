"""Rivals and classifiers' architectures over HTTP: what a job may compare with, and which name was probably meant."""

from typing import Any

from tests.support.api_client import Api, assert_problem, pointers


def refused(api: Api, **changes: Any) -> dict[str, Any]:
    """The problem of a job that is refused at submission."""
    return assert_problem(api.post("/v1/jobs", json=api.spec(**changes)), 422, "invalid-spec")


TIMM = {"family": "timm", "architecture": "resnet18", "weights": "a1_in1k"}


def test_a_rival_that_nobody_knows_is_pointed_at_in_the_list(api: Api) -> None:
    problem = refused(api, base_model=TIMM, compare=["no_such_rival"])
    assert pointers(problem) == ["/compare/0"]
    assert "retrain" in problem["detail"]


def test_a_rival_for_a_zero_shot_model_is_refused(api: Api) -> None:
    problem = refused(api, compare=["uniform", "retrain"])
    assert pointers(problem) == ["/compare"]
    assert "retrain is a rival for classifiers" in problem["detail"]


def test_a_merge_may_be_compared_with_for_a_zero_shot_model(api: Api) -> None:
    answer = api.post("/v1/jobs", json=api.spec(compare=["uniform"]))
    assert answer.status_code == 202, answer.text


def test_options_of_a_rival_that_is_not_compared_with_are_refused(api: Api) -> None:
    problem = refused(api, base_model=TIMM, compare=["retrain"], rivals={"fine_tune": {"epochs": 1}})
    assert pointers(problem) == ["/rivals"]


def test_a_rival_needs_the_retain_set_in_the_forget_sets_own_data_set(api: Api) -> None:
    problem = refused(api, base_model=TIMM, compare=["retrain"], retain={"dataset": api.dataset()})
    assert pointers(problem) == ["/compare"]


def test_a_classifier_may_be_compared_with_rivals(api: Api) -> None:
    changes = {"compare": ["retrain", "fine_tune"], "rivals": {"retrain": {"epochs": 1}}}
    answer = api.post("/v1/jobs", json=api.spec(base_model=TIMM, **changes))
    assert answer.status_code == 202, answer.text


def test_a_job_with_an_architecture_that_timm_does_not_have_suggests_one(api: Api) -> None:
    problem = refused(api, base_model=TIMM | {"architecture": "resnet1800"})
    assert pointers(problem) == ["/base_model/architecture"]
    assert "did you mean" in problem["detail"]
    assert "resnet18" in problem["detail"].partition("did you mean")[2]


def test_a_model_with_an_architecture_that_timm_does_not_have_suggests_one(api: Api) -> None:
    answer = api.post("/v1/models", json=TIMM | {"architecture": "vit_tinny_patch16_224"})
    problem = assert_problem(answer, 422, "invalid-model")
    assert pointers(problem) == ["/architecture"]
    assert "vit_tiny_patch16_224" in problem["detail"].partition("did you mean")[2]
