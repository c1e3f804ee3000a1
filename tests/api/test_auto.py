"""The sweep ``auto`` over HTTP: chosen at submission, told, and the same again; what cannot be known is refused."""

from typing import Any

import pytest

from negmerge.spec.job import parse
from tests.support.api_client import Api, assert_problem, pointers

TOWER = 8 + 8 * 3 * 4 * 4 + 8 * 4 + 8
"""Parameters of the image tower of ``api_client.weights``, tensor by tensor; ``logit_scale`` is not of the tower."""


def submitted(api: Api, **changes: Any) -> dict[str, Any]:
    answer = api.post("/v1/jobs", json=api.spec(sweep="auto") | changes)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def points(api: Api, job: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.get(job["links"]["points"])
    return [{"seed": point["seed"]} | point["hyper_parameters"] for point in answer.json()["data"]]


def test_a_job_with_auto_has_its_points_at_once_and_says_why(both: Api) -> None:
    job = submitted(both)

    assert job["points"] == len(points(both, job)) == 12
    assert job["spec"]["sweep"]["auto"] == {"samples": 8, "selected": "classes", "parameters": TOWER}
    assert [point["batch_size"] for point in job["spec"]["sweep"]["points"]] == [8] * 12
    assert (job["sweep_chosen"]["points"], job["sweep_chosen"]["steps"]) == (12, 6 * (25 + 75))
    assert "8 training samples of whole classes" in job["sweep_chosen"]["why"]
    assert both.get(job["links"]["self"]).json() == job
    assert both.get("/v1/jobs").json()["data"] == [job]


def test_a_dry_run_says_the_same_as_the_job(api: Api) -> None:
    spec = api.spec(sweep="auto")
    told = api.post("/v1/jobs?dry_run=true", json=spec).json()
    job = api.post("/v1/jobs", json=spec).json()
    assert told["sweep_chosen"] == job["sweep_chosen"]
    assert parse(told["spec"]) == parse(job["spec"])
    assert (told["estimate"]["steps"], told["estimate"]["images"]) == (
        job["sweep_chosen"]["steps"],
        job["sweep_chosen"]["images"],
    )


def test_a_jobs_spec_submitted_again_trains_the_same_points(api: Api) -> None:
    spec = api.spec(sweep={"auto": True, "seed": 3})
    first = api.post("/v1/jobs", json=spec).json()
    again = api.post("/v1/jobs", json=first["spec"]).json()
    assert points(api, again) == points(api, first)
    assert again["sweep_chosen"] == first["sweep_chosen"]


def test_the_same_request_twice_is_one_job(api: Api) -> None:
    spec, key = api.spec(sweep="auto"), {"Idempotency-Key": "once"}
    first, again = (api.post("/v1/jobs", json=spec, headers=key).json() for _ in range(2))
    assert again == first


def test_a_published_model_has_its_size_from_the_list(api: Api) -> None:
    tag = {"family": "open_clip", "architecture": "ViT-B-32", "weights": "openai"}
    job = submitted(api, base_model=tag)
    assert job["spec"]["sweep"]["auto"]["parameters"] == 87_849_216
    assert {point["learning_rate"] for point in points(api, job)} == {5e-6, 1e-5, 2e-5}


def test_a_published_model_that_was_registered_has_its_size_from_the_list(api: Api) -> None:
    model = api.post("/v1/models", json={"architecture": "ViT-B-32", "weights": "openai"}).json()["id"]
    job = submitted(api, base_model={"family": "open_clip", "weights": model})
    assert job["spec"]["sweep"]["auto"]["parameters"] == 87_849_216


def test_a_classifier_needs_no_size(api: Api) -> None:
    tag = {"family": "timm", "architecture": "resnet18", "weights": "a1_in1k"}
    job = submitted(api, base_model=tag)
    assert {point["optimizer"] for point in points(api, job)} == {"sgd"}


def by_uri(api: Api) -> dict[str, Any]:
    data = {"uri": f"file://{api.settings.allowed_roots[0]}"}
    return {"forget": data | {"select": {"classes": ["seven"]}}, "retain": data}


def model_by_uri(api: Api) -> dict[str, Any]:
    return {"base_model": {"family": "open_clip", "weights": f"file://{api.settings.allowed_roots[0]}"}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [(by_uri, "nobody has counted yet: upload the data set"), (model_by_uri, "nobody has read yet: upload it")],
)
def test_what_is_fetched_later_is_refused_with_what_to_do(changes: Any, told: str, api: Api) -> None:
    answer = api.post("/v1/jobs", json=api.spec(sweep="auto") | changes(api))
    problem = assert_problem(answer, 422, "invalid-spec")
    assert pointers(problem) == ["/sweep"]
    assert told in problem["detail"]


def test_points_that_auto_did_not_choose_are_refused_as_its_choice(api: Api) -> None:
    spec = submitted(api)["spec"]
    spec["sweep"]["points"][0]["epochs"] = 1
    problem = assert_problem(api.post("/v1/jobs", json=spec), 422, "invalid-spec")
    assert pointers(problem) == ["/sweep/auto"]


def test_a_job_without_auto_has_chosen_nothing(api: Api) -> None:
    assert api.post("/v1/jobs", json=api.spec()).json()["sweep_chosen"] is None
