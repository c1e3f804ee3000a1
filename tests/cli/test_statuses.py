"""With which status a command ends that says what became of a service's job; ``run``'s is in ``test_run``."""

import json
from pathlib import Path
from typing import Any

import pytest

from negmerge.cli.statuses import OF_OUTCOME, of_outcome
from negmerge.spec.job_resources import Result
from tests.client.test_asking import example, problem
from tests.client.test_events import job
from tests.support.command_line import Command, assert_refused
from tests.support.faulty import Answer, Faulty, faulty, give

OUTCOMES = [("unlearned", 0), ("below_target", 3), ("nothing_unlearned", 4), ("half_unlearned", 3)]
"""The last one only a newer service knows."""
NOT_DONE = [("failed", 5), ("cancelled", 6), ("tuning", 8)]
NO_RESULT = give(**problem(409, "no-result", detail="there is no result"))


@pytest.fixture(autouse=True)
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec ``job.json`` in the folder that commands are run in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.json").write_text("{}")


def test_every_outcome_has_its_status() -> None:
    assert {name: of_outcome(name) for name in OF_OUTCOME} == dict(OUTCOMES[:3])


@pytest.mark.parametrize(("outcome", "status"), OUTCOMES)
@pytest.mark.parametrize("command", ["jobs watch job_1", "jobs submit job.json --watch"])
def test_waiting_ends_with_the_jobs_outcome(
    negmerge: Command, server: Faulty, command: str, outcome: str, status: int
) -> None:
    submitted = [give(202, job("queued"))] if "submit" in command else []
    server.will(*submitted, give(200, job("succeeded", outcome=outcome, outcome_reason="for a reason")))
    done = negmerge(*command.split())
    assert done.returncode == status
    assert "for a reason" in done.stdout


@pytest.mark.parametrize(("state", "status"), NOT_DONE)
@pytest.mark.parametrize(
    ("command", "before"),
    [
        ("jobs watch job_1 --timeout 0", []),
        ("jobs result job_1", [NO_RESULT]),
        ("jobs compare job_1 job_2", [NO_RESULT]),
        ("jobs download job_1", []),
        ("jobs download job_1 --weights", []),
    ],
)
def test_of_a_job_without_a_result_the_status_says_why(
    negmerge: Command, server: Faulty, command: str, before: list[Answer], state: str, status: int
) -> None:
    detail = {"problem": {"type": "x", "detail": "no room"}} if state == "failed" else {}
    server.will(*before, give(200, job(state, **detail)))
    done = negmerge(*command.split())
    assert (done.returncode, done.stdout) == (status, "")
    assert {5: "no room", 6: "was cancelled", 8: "still tuning"}[status] in done.stderr
    assert not Path("job_1").exists()


def test_a_submitted_job_that_fails_while_it_is_watched_ends_with_its_problem(
    negmerge: Command, server: Faulty
) -> None:
    server.will(give(202, job("queued")), give(200, job("failed", problem={"type": "x", "detail": "no room"})))
    done = negmerge("jobs", "submit", "job.json", "--watch")
    assert done.returncode == 5
    assert "no room" in done.stderr


@pytest.mark.parametrize(("outcome", "status"), OUTCOMES)
def test_a_result_is_shown_with_the_status_of_its_outcome(
    negmerge: Command, server: Faulty, outcome: str, status: int
) -> None:
    server.will(give(200, example(Result, outcome=outcome)))
    done = negmerge("jobs", "result", "job_1")
    assert done.returncode == status
    assert "negmerge  0.95     5.0 %   5.0 %" in done.stdout


@pytest.mark.parametrize(
    "command", ["jobs submit job.json", "jobs submit job.json --watch", "jobs submit job.json --dry-run"]
)
def test_a_spec_that_the_service_refuses_is_wrong_input(negmerge: Command, server: Faulty, command: str) -> None:
    wrong: list[dict[str, Any]] = [{"pointer": "/sweep", "detail": "Field required"}]
    server.will(give(**problem(422, detail="/sweep: Field required", errors=wrong)))
    assert_refused(negmerge(*command.split()), "/sweep")


@pytest.mark.parametrize("what", ["jobs watch job_1", "jobs submit job.json", "datasets list", "models delete mdl_1"])
def test_a_service_that_does_not_answer_or_fails_has_a_status_of_its_own(
    negmerge: Command, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("NEGMERGE_API_KEY", "nm_1_secret")
    monkeypatch.setenv("NEGMERGE_RETRIES", "0")
    with faulty() as failing:
        monkeypatch.setenv("NEGMERGE_URL", failing.url)
        failing.will(give(**problem(500, "internal")))
        failed = negmerge(*what.split())
    gone = negmerge(*what.split())
    assert (failed.returncode, gone.returncode) == (7, 7)
    assert "does not answer" in gone.stderr


def test_a_result_in_json_ends_with_the_same_status(negmerge: Command, server: Faulty) -> None:
    server.will(give(200, example(Result, outcome="below_target")))
    done = negmerge("jobs", "result", "job_1", "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (3, "below_target")
