"""Jobs over HTTP: submitted once, found by whoever made them, cancelled and deleted by the rules."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from app.record.leases import report_progress
from app.record.tables import Job, Step
from negmerge.spec import caveats
from tests.support import records
from tests.support.api_client import Api, assert_problem, pointers
from tests.support.statements import counted_statements


def count_jobs(api: Api) -> int:
    with api.database.read() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_a_job_is_queued_with_its_points_and_links(both: Api) -> None:
    answer = both.post("/v1/jobs", json=both.spec(metadata={"ticket": "DSR-1"}))

    assert answer.status_code == 202
    job = answer.json()
    assert (job["state"], job["terminal"], job["points"], job["queue_position"]) == ("queued", False, 3, 1)
    assert job["metadata"] == {"ticket": "DSR-1"}
    assert answer.headers["location"] == job["links"]["self"]
    assert both.get(answer.headers["location"]).json() == job
    points = both.get(job["links"]["points"]).json()["data"]
    assert [point["hyper_parameters"]["epochs"] for point in points] == [1, 2, 3]
    assert [event["kind"] for event in both.get(job["links"]["events"]).json()["data"]] == ["job.queued"]


def test_the_spec_comes_back_without_what_was_not_given(api: Api) -> None:
    spec = api.spec()

    job = api.post("/v1/jobs", json=spec).json()

    assert job["spec"]["base_model"] == spec["base_model"] | {"linearised": False}
    assert job["spec"]["sweep"] == spec["sweep"] | {"seed": 0, "on_diverged": "leave_out"}


def test_a_dry_run_estimates_and_makes_nothing(both: Api) -> None:
    answer = both.post("/v1/jobs?dry_run=true", json=both.spec())

    assert answer.status_code == 200
    estimate = answer.json()["estimate"]
    assert estimate["splits"]["forget"] == {"train": 8, "validation": 1, "test": 1}
    assert estimate["splits"]["retain"] == {"train": 16, "validation": 2, "test": 2}
    assert (estimate["points"], estimate["images"], estimate["steps"]) == (3, 8 * (1 + 2 + 3), 1 + 2 + 3)
    assert estimate["seconds"] is None
    assert count_jobs(both) == 0


def test_a_dry_run_warns_of_a_pool_of_one(api: Api) -> None:
    spec = api.spec() | {"sweep": {"grid": {"learning_rate": [1e-3]}}}
    assert api.post("/v1/jobs?dry_run=true", json=spec).json()["warnings"] == [caveats.ONE_POINT]


def test_an_estimate_learns_its_pace_from_earlier_jobs_with_the_model(api: Api) -> None:
    spec = api.spec()
    job_id = api.post("/v1/jobs", json=spec).json()["id"]
    with api.database.write() as session:
        for step in session.scalars(select(Step).where(Step.job_id == job_id)):
            step.outcome = {"seconds": 12.8, "steps": 1} if step.kind == "point" else None
        session.get_one(Job, job_id).state = "succeeded"

    estimate = api.post("/v1/jobs?dry_run=true", json=spec).json()["estimate"]

    assert estimate["seconds"] == pytest.approx(0.1 * 48)  # 12.8 s for a step of 128 images
    assert estimate["basis"].startswith("median of 3 points")


def test_the_same_key_and_body_give_the_same_job(both: Api) -> None:
    spec, headers = both.spec(), {"Idempotency-Key": '"abc-1"'}

    first = both.post("/v1/jobs", json=spec, headers=headers)
    again = both.post("/v1/jobs", json=dict(reversed(spec.items())), headers={"Idempotency-Key": "abc-1"})

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert count_jobs(both) == 1


def test_the_same_key_with_another_body_is_422(both: Api) -> None:
    spec, headers = both.spec(), {"Idempotency-Key": "abc-2"}
    both.post("/v1/jobs", json=spec, headers=headers)

    answer = both.post("/v1/jobs", json=spec | {"keep_task_vectors": True}, headers=headers)

    assert_problem(answer, 422, "idempotency-key-reused")
    assert count_jobs(both) == 1


def test_the_same_request_from_many_at_once_makes_one_job(both: Api) -> None:
    spec, headers = both.spec(), {"Idempotency-Key": "abc-4"}

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: both.post("/v1/jobs", json=spec, headers=headers), range(4)))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert count_jobs(both) == 1


def test_a_repeated_request_is_answered_after_its_data_are_gone(api: Api) -> None:
    spec, headers = api.spec(), {"Idempotency-Key": "abc-5"}
    job = api.post("/v1/jobs", json=spec, headers=headers).json()["id"]
    api.post(f"/v1/jobs/{job}/cancel")
    api.delete(f"/v1/datasets/{spec['forget']['dataset']}")

    assert api.post("/v1/jobs", json=spec, headers=headers).json()["id"] == job
    api.delete(f"/v1/jobs/{job}")
    assert_problem(api.post("/v1/jobs", json=spec, headers=headers), 410, "deleted")


def test_another_tenant_may_use_the_same_key(api: Api) -> None:
    headers = {"Idempotency-Key": "abc-3"}
    api.post("/v1/jobs", json=api.spec(), headers=headers)
    before, api.headers = api.headers, api.key(tenant="other")
    other = api.post("/v1/jobs", json=api.spec(), headers=headers)
    api.headers = before

    assert other.status_code == 202


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"forget": {"dataset": "ds_missing", "select": {"classes": ["seven"]}}}, "/forget/dataset"),
        ({"retain": {"dataset": "ds_missing"}}, "/retain/dataset"),
        ({"base_model": {"family": "open_clip", "weights": "mdl_missing"}}, "/base_model/weights"),
        ({"base_model": {"family": "open_clip", "weights": "openai"}}, "/base_model/weights"),
        (
            {"base_model": {"family": "open_clip", "architecture": "ViT-B-32", "weights": "nope"}},
            "/base_model/weights",
        ),
        (
            {"base_model": {"family": "open_clip", "architecture": "Nope", "weights": "openai"}},
            "/base_model/architecture",
        ),
        ({"base_model": {"family": "open_clip", "weights": "/etc"}}, "/base_model/weights"),
        ({"base_model": {"family": "open_clip", "weights": "https://a.example/m"}}, "/base_model/weights"),
        ({"retain": {"uri": "file:///etc/passwd"}}, "/retain/uri"),
        ({"retain": {"torchvision": "MNIST", "root": "/etc"}}, "/retain/root"),
        ({"retain": {"torchvision": "FakeData", "root": "/etc"}}, "/retain/torchvision"),
        ({"forget": {"torchvision": "FakeData", "root": "/etc"}}, "/forget/torchvision"),
    ],
)
def test_an_unknown_reference_is_refused_before_any_work(api: Api, changes: dict[str, Any], pointer: str) -> None:
    before = count_jobs(api)

    problem = assert_problem(api.post("/v1/jobs", json=api.spec(**changes)), 422, "invalid-spec")

    assert pointers(problem) == [pointer]
    assert count_jobs(api) == before


@pytest.mark.parametrize(
    ("select_", "pointer"),
    [
        ({"classes": ["eight"]}, "/forget/select/classes/0"),
        ({"classes": ["one", "eight"]}, "/forget/select/classes/1"),
        ({"ids": ["one/00.png", "nothing.png"]}, "/forget/select/ids/1"),
        ({"classes": ["one", "seven", "two"]}, "/retain"),
    ],
)
def test_a_selection_that_cannot_be_made_is_pointed_at(api: Api, select_: dict[str, Any], pointer: str) -> None:
    spec = api.spec()
    spec["forget"]["select"] = select_

    problem = assert_problem(api.post("/v1/jobs", json=spec), 422, "invalid-spec")

    assert pointers(problem) == [pointer]


def test_what_is_both_forgotten_and_retained_is_counted(api: Api) -> None:
    spec = api.spec()
    spec["retain"]["select"] = {"classes": ["seven", "one"]}

    problem = assert_problem(api.post("/v1/jobs", json=spec), 422, "invalid-spec")

    assert "10 samples" in problem["detail"]


def test_a_place_to_deliver_to_must_be_allowed(api: Api) -> None:
    before = count_jobs(api)
    answer = api.post("/v1/jobs", json=api.spec(deliver="s3://results/unlearned"))
    assert pointers(assert_problem(answer, 422, "invalid-spec")) == ["/deliver"]
    assert count_jobs(api) == before


def test_all_wrong_references_are_told_at_once(api: Api) -> None:
    spec = api.spec(base_model={"family": "open_clip", "weights": "mdl_missing"}, retain={"dataset": "ds_missing"})

    problem = assert_problem(api.post("/v1/jobs", json=spec), 422, "invalid-spec")

    assert set(pointers(problem)) == {"/base_model/weights", "/retain/dataset"}


def test_another_tenants_data_are_unknown(api: Api) -> None:
    answer = api.post("/v1/jobs", json=api.spec(), headers=api.key(tenant="other"))

    assert len(assert_problem(answer, 422, "invalid-spec")["errors"]) == 3


def test_another_tenants_job_is_404_in_every_way(both: Api) -> None:
    job, other = both.job(), both.key(tenant="other")
    ways = [("GET", ""), ("DELETE", ""), ("POST", "/cancel")]
    ways += [("GET", f"/{name}") for name in ("points", "events", "result", "artifacts", "artifacts/x", "weights")]

    for method, path in ways:
        assert_problem(both.request(method, f"/v1/jobs/{job}{path}", headers=other), 404, "not-found")
    assert both.get("/v1/jobs", headers=other).json()["data"] == []


def test_jobs_are_listed_by_page_state_metadata_and_time(both: Api) -> None:
    ids = [records.make_job(both.database, metadata={"n": str(n % 2)}) for n in range(5)]
    both.post(f"/v1/jobs/{ids[0]}/cancel")

    def listed(query: str) -> list[str]:
        return [job["id"] for job in both.get(f"/v1/jobs?{query}").json()["data"]]

    first = both.get("/v1/jobs?limit=3").json()
    assert [job["id"] for job in first["data"]] == ids[:1:-1]
    assert listed(f"limit=3&cursor={first['next_cursor']}") == ids[1::-1]
    assert listed("state=cancelled") == ids[:1]
    assert listed("state=queued&state=cancelled") == ids[::-1]
    assert listed("metadata.n=1") == [ids[3], ids[1]]
    assert listed("metadata.n=7") == []
    moment = both.get(f"/v1/jobs/{ids[2]}").json()["created_at"]
    assert listed(f"created_after={moment}") == ids[:2:-1]
    assert listed(f"created_before={moment}") == ids[1::-1]


def test_a_page_of_many_jobs_asks_the_record_as_often_as_a_page_of_one(both: Api) -> None:
    made = [records.make_job(both.database) for _ in range(12)]
    numbers = []
    for limit in (1, len(made)):
        with counted_statements() as asked:
            listed = both.get(f"/v1/jobs?limit={limit}").json()["data"]
        assert len(listed) == limit
        numbers.append(len(asked))
    assert numbers[0] == numbers[1]


def test_a_job_is_listed_as_it_is_alone(both: Api) -> None:
    running = records.make_tuning_job(both.database)
    claim = records.claim(both.database, records.make_worker())
    with both.database.write() as session:
        report_progress(session, claim, 1, 3, 0.25)
    queued = records.make_job(both.database)

    listed = both.get("/v1/jobs").json()["data"]

    assert listed == [both.get(f"/v1/jobs/{job_id}").json() for job_id in (queued, running)]
    assert [job["queue_position"] for job in listed] == [1, None]
    assert listed[1]["progress"] == {
        "fraction": 0.2667,  # prepare and a third of a point, of five steps
        "points": {"total": 3, "open": 2, "running": 1, "trained": 0, "folded": 0, "diverged": 0},
        "running": [{"kind": "point", "index": 0, "step": 1, "total": 3, "loss": 0.25}],
        "waiting": [],
        "workers": 0,
    }


def test_a_queued_job_is_cancelled_at_once_and_its_place_is_free(both: Api) -> None:
    first, second = both.job(), both.job()

    answer = both.post(f"/v1/jobs/{first}/cancel")

    assert answer.status_code == 202
    assert (answer.json()["state"], answer.json()["cancel_requested"]) == ("cancelled", True)
    assert both.get(f"/v1/jobs/{second}").json()["queue_position"] == 1
    assert_problem(both.get(f"/v1/jobs/{first}/result"), 409, "no-result")


def test_a_running_job_is_asked_to_end(both: Api) -> None:
    job = records.make_job(both.database)
    records.claim(both.database, records.make_worker())

    for _ in range(2):
        answer = both.post(f"/v1/jobs/{job}/cancel")
        assert answer.status_code == 202
        assert (answer.json()["state"], answer.json()["cancel_requested"]) == ("preparing", True)
    assert_problem(both.delete(f"/v1/jobs/{job}"), 409, "job-running")


def test_an_ended_job_cannot_be_cancelled(both: Api) -> None:
    answer = both.post(f"/v1/jobs/{both.failed_job()}/cancel")

    assert_problem(answer, 409, "job-finished")


def test_a_failed_job_says_why_and_has_no_result(both: Api) -> None:
    job = both.failed_job()

    assert both.get(f"/v1/jobs/{job}").json()["problem"]["detail"] == "the disk is full"
    for name in ("result", "weights"):
        assert "disk" in assert_problem(both.get(f"/v1/jobs/{job}/{name}"), 409, "no-result")["detail"]


def test_a_deleted_job_is_410_in_every_way(both: Api) -> None:
    job = both.finished_job({"result.json": b"{}"})

    assert both.delete(f"/v1/jobs/{job}").status_code == 204
    for name in ("", "/points", "/events", "/result", "/artifacts", "/artifacts/result.json", "/weights"):
        assert_problem(both.get(f"/v1/jobs/{job}{name}"), 410, "deleted")
    assert_problem(both.delete(f"/v1/jobs/{job}"), 410, "deleted")
    assert both.get("/v1/jobs").json()["data"] == []


def test_points_and_events_are_paged(both: Api) -> None:
    job = both.finished_job({"result.json": b"{}"})

    for name, number in (("points", "index"), ("events", "number")):
        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = both.get(f"/v1/jobs/{job}/{name}?limit=2" + (f"&cursor={cursor}" if cursor else "")).json()
            seen += [row[number] for row in page["data"]]
            cursor = page["next_cursor"]
        assert seen == list(range(seen[0], seen[0] + len(seen)))
        assert len(seen) > 2


def test_a_point_shows_its_loss_seconds_and_digest(both: Api) -> None:
    job = both.finished_job({"result.json": b"{}"})

    point = both.get(f"/v1/jobs/{job}/points").json()["data"][1]

    assert (point["state"], point["loss"], point["seconds"], point["digest"]) == ("folded", 0.5, 1.0, "sha256:1")
