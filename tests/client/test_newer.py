"""Answers of a newer and of an older service: what this client does not know stops nothing that it does know."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from negmerge.client import Client, NotUnderstood, waiting
from negmerge.spec import newer
from negmerge.spec.job_resources import DryRun, Event, Job, Point, Result
from negmerge.spec.resources import (
    Artifact,
    Candidate,
    Dataset,
    Match,
    Meta,
    Model,
    Page,
    Problem,
    Readiness,
    Sample,
)
from negmerge.spec.words import heading, sentence
from tests.client.test_asking import example, problem
from tests.client.test_downloads import CONTENT, stored
from tests.client.test_events import STREAM, job
from tests.support.faulty import Faulty, give

RECORDS = (Artifact, Candidate, Dataset, DryRun, Event, Job, Match, Meta, Model, Point, Problem, Readiness, Result)
FREE = {
    *("metadata", "limits", "parts", "class_names", "classes", "config", "tensors", "methods", "samples"),
    *("spec", "data", "figures", "table_parts", "cause", "elements"),
}
"""Objects whose keys are names, or that are given on as they are."""


def with_more(value: Any) -> Any:
    """The same with a field more in every object of fixed fields."""
    if isinstance(value, list):
        return [with_more(one) for one in value]
    if not isinstance(value, dict):
        return value
    free = {name for name, one in value.items() if name == "repeats" or (name in FREE and isinstance(one, dict))}
    inner = {name: one if name in free else with_more(one) for name, one in value.items()}
    return inner | {"of_a_later_version": {"deep": [1]}}


def document(kind: Any, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(example(kind, **changes))
    return found


def changed(kind: Any, path: str, value: Any) -> bytes:
    """The example of a record with another value at a place, ``a/0/b``."""
    whole = document(kind)
    *way, last = path.split("/")
    place: Any = whole
    for step in way:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    return json.dumps(whole).encode()


@pytest.mark.parametrize("kind", RECORDS)
def test_fields_of_a_later_version_are_passed_over_wherever_they_stand(kind: type[BaseModel]) -> None:
    free = {"progress": None} if kind is Point else {}  # of a point it is given on as it is
    more = json.dumps(with_more(document(kind, **free)))
    assert newer.read(kind, more) == newer.read(kind, example(kind, **free))


def test_fields_of_a_later_versions_spec_are_passed_over() -> None:
    assert newer.read(Result, changed(Result, "spec/merge", {"method": "ties", "of_a_later_version": 1})) == (
        newer.read(Result, changed(Result, "spec/merge", {"method": "ties"}))
    )


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        (Job, "state"),
        (Job, "outcome"),
        (Job, "progress/running/0/kind"),
        (Result, "outcome"),
        (Result, "method"),
        (Result, "rule"),
        (Result, "gates/0/gate"),
        (Result, "table_parts/forget"),
        (Sample, "part"),
        (Dataset, "on_unreadable"),
    ],
)
def test_a_word_of_a_later_version_is_taken_as_it_is(kind: Any, path: str) -> None:
    read: Any = newer.read(kind, changed(kind, path, "unheard_of"))
    for step in path.split("/"):
        read = read[int(step)] if step.isdigit() else read[step] if isinstance(read, dict) else getattr(read, step)
    assert (read, read.value) == ("unheard_of", "unheard_of")


@pytest.mark.parametrize("kind", [Job, Result])
def test_whoever_reads_otherwise_is_as_strict_as_ever(kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate_json(changed(kind, "outcome", "unheard_of"))


@pytest.mark.parametrize(("path", "value"), [("state", 3), ("progress", None), ("id", ["x"])])
def test_what_no_version_would_answer_is_not_understood(server: Faulty, path: str, value: Any) -> None:
    server.will(give(200, changed(Job, path, value)))
    with server.client() as client, pytest.raises(NotUnderstood, match=path):
        client.jobs.get("job_1")


def test_a_state_of_a_later_version_is_waited_through(server: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.0)
    server.will(give(200, job("polishing")), give(200, job("succeeded")))
    told: list[str] = []
    with server.client() as client:
        assert client.jobs.wait("job_1", progress=lambda what, _: told.append(what)).state == "succeeded"
    assert told[0] == "job_1 is polishing (point 5: 20 of 60 steps)"


def test_events_of_kinds_and_fields_of_a_later_version_are_given(server: Faulty) -> None:
    event = {"number": 1, "at": "2026-11-25T09:30:00Z", "kind": "job.polished", "data": {"x": [1]}, "by": "me"}
    server.will(give(200, f"event: job.polished\ndata: {json.dumps(event)}\nid: 1\n\n".encode(), STREAM), give(204))
    with server.client() as client:
        assert [(one.kind, one.data) for one in client.jobs.events("job_1")] == [("job.polished", {"x": [1]})]


SPECS: list[tuple[str, Any]] = [
    ("spec/merge", {"method": "unheard_of"}),
    ("spec/base_model", {"family": "unheard_of", "weights": "x"}),
    ("spec/sweep", "by_magic"),
    ("spec/scale_search", {"rule": "unheard_of"}),
]


@pytest.mark.parametrize(("path", "value"), SPECS)
def test_the_result_of_a_spec_of_a_later_version_is_read_and_told(server: Faulty, path: str, value: Any) -> None:
    server.will(give(200, changed(Result, path, value)))
    with server.client() as client:
        result = client.jobs.result("job_1")
    assert heading(result) == "Unlearned: the class “seven”"
    assert sentence(result).startswith("The model recognises “seven”")
    assert result.as_json()["spec"][path.partition("/")[2]] == value


@pytest.mark.parametrize("side", ["forget", "retain"])
def test_a_data_set_that_is_named_in_a_way_of_a_later_version_is_told_in_one_line(server: Faulty, side: str) -> None:
    server.will(give(200, changed(Result, f"spec/{side}", {"taken_from": "elsewhere"})))
    with server.client() as client, pytest.raises(NotUnderstood, match=rf"spec/{side}.*of this client's version"):
        client.jobs.result("job_1")


def test_a_selection_of_a_later_version_is_not_called_another(server: Faulty) -> None:
    server.will(give(200, changed(Result, "spec/forget/select", {"taken_by": "me"})))
    with server.client() as client:
        assert (
            heading(client.jobs.result("job_1")) == "Unlearned: samples that are selected in a way of a newer version"
        )


def test_weights_of_a_result_of_a_later_version_come_down(server: Faulty, tmp_path: Path) -> None:
    server.will(give(200, json.dumps(with_more(document(Result, outcome="unheard_of"))).encode()))
    server.will(stored(CONTENT), stored(CONTENT))
    digest = document(Result)["digests"]["unlearned"]
    with server.client() as client, pytest.raises(Exception, match=digest):  # read, and held against what is served
        client.jobs.weights("job_1", tmp_path / "w")


Ask = Callable[[Client], object]


@pytest.mark.parametrize(
    ("lost", "kind", "ask"),
    [
        (["outcome", "outcome_reason", "sweep_chosen"], Job, lambda client: client.jobs.get("job_1")),
        (["sweep_chosen"], DryRun, lambda client: client.jobs.dry_run({})),
        (["from_job", "sweep_chosen", "reference"], Result, lambda client: client.jobs.result("job_1")),
    ],
)
def test_fields_that_came_later_are_not_missed(server: Faulty, lost: list[str], kind: Any, ask: Ask) -> None:
    older = {key: value for key, value in document(kind).items() if key not in lost}
    server.will(give(200, json.dumps(older).encode()))
    with server.client() as client:
        assert getattr(ask(client), lost[0]) is None


def test_an_answer_that_lacks_what_is_needed_may_be_an_older_services(server: Faulty) -> None:
    older = {key: value for key, value in document(Result).items() if key != "outcome"}
    server.will(give(200, json.dumps(older).encode()))
    with server.client() as client, pytest.raises(NotUnderstood, match=r"outcome.*not older than this client"):
        client.jobs.result("job_1")


def test_a_problem_of_a_later_version_is_a_problem(server: Faulty) -> None:
    server.will(give(**problem(422, "unheard-of", hint="more")))
    with server.client() as client, pytest.raises(Exception, match="do better") as raised:
        client.jobs.dry_run({})
    assert getattr(raised.value, "type", "") == "unheard-of"


def test_a_page_has_room_for_more(server: Faulty) -> None:
    whole = with_more(Page[Job](data=[newer.read(Job, example(Job))], next_cursor=None).model_dump(mode="json"))
    server.will(give(200, json.dumps(whole).encode()))
    with server.client() as client:
        assert [one.state for one in client.jobs.list()] == ["tuning"]
