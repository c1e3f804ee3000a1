"""A job's views below any browser: what they say, who sees them, what they change."""

import re
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.auth import Scope
from app.page import charts, events
from app.page.running import HEIGHT, WIDTH, running
from app.record import leases, reopening
from app.record.db import Database
from app.record.retries import Retries
from app.record.states import JobState
from negmerge.merging.methods import METHODS
from negmerge.spec.consensus import Consensus
from negmerge.spec.result import CurveRow, MethodRow
from tests.support import records, results
from tests.support.api_client import Api
from tests.support.page_visits import HERE, enter, key_of, token_of

SWEEP = {"grid": {"learning_rate": [1e-5, 1e-4], "epochs": [5, 10]}}


@pytest.fixture
def tuning(sqlite_database: Database) -> tuple[Database, str]:
    """A job of four points, one of which is half trained, with three losses."""
    job_id = records.make_tuning_job(sqlite_database, sweep=SWEEP)
    held = records.claim(sqlite_database, records.make_worker())
    with sqlite_database.write() as session:
        leases.report_progress(session, held, 5, 10, 1.0, [(1, 4.0), (3, 2.0), (5, 1.0)])
    return sqlite_database, job_id


def seen(found: tuple[Database, str]) -> Any:
    database, job_id = found
    with database.read() as session:
        return running(session, records.read_job(database, job_id))


def test_the_grid_fills_point_by_point(tuning: tuple[Database, str]) -> None:
    cells = seen(tuning).cells
    assert [(cell.state, cell.share) for cell in cells] == [("running", 0.5), *[("open", 0.0)] * 3]


def test_a_cell_says_what_tells_its_point_from_the_others(tuning: tuple[Database, str]) -> None:
    assert seen(tuning).cells[0].told == "Point 0 is being trained: learning rate 0.00001, epochs 5"


def test_a_loss_curve_runs_from_the_first_step_to_the_last_and_from_the_highest_loss_to_zero(
    tuning: tuple[Database, str],
) -> None:
    """Steps 1, 3 and 5 of 10 lie at a tenth, three and five tenths; losses 4, 2, 1 at the top, half, and a quarter."""
    [curve] = seen(tuning).curves
    expected = [(0.1, 0.0), (0.3, 0.5), (0.5, 0.75)]
    assert curve.line == " ".join(f"{WIDTH * x:.1f},{HEIGHT * y:.1f}" for x, y in expected)


def test_the_last_problem_is_the_newest_failure(sqlite_database: Database) -> None:
    job_id = records.make_tuning_job(sqlite_database)
    held = records.claim(sqlite_database, records.make_worker())
    records.fail(sqlite_database, held, retries=Retries(5, 40.0))
    problem = seen((sqlite_database, job_id)).problem
    assert (problem.step, problem.attempts, problem.cause["detail"]) == ("Point 0", 1, "the disk is full")


def test_a_step_that_a_stopping_worker_gave_back_is_no_problem(sqlite_database: Database) -> None:
    job_id = records.make_tuning_job(sqlite_database)
    held = records.claim(sqlite_database, records.make_worker())
    with sqlite_database.write() as session:
        reopening.give_back(session, [held])
    assert seen((sqlite_database, job_id)).problem is None


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("job.tuning", {}, "prepared; fine-tuning began"),
        ("point.started", {"index": 3, "attempt": 1}, "point 3 began"),
        ("point.started", {"index": 3, "attempt": 2}, "point 3 began, try 2"),
        ("conclude.started", {"index": 0, "attempt": 1}, "conclude began"),
        ("point.trained", {"index": 3, "loss": 0.25}, "point 3 is trained, loss 0.25"),
        ("points.folded", {"indices": [1, 2]}, "2 points became part of the merge"),
        ("points.folded", {"indices": [1]}, "1 point became part of the merge"),
        ("job.failed", {"problem": {"detail": "no disk"}}, "failed: no disk"),
        ("some.new_kind", {}, "some new kind"),
    ],
)
def test_an_event_is_told_in_words(kind: str, data: dict[str, Any], said: str) -> None:
    assert events.said(kind, data) == said


def test_a_method_has_the_label_and_the_colour_of_the_report() -> None:
    curve_of = MethodRow(scale=1.0, curve=curve((0.0, 4, 4), (1.0, 0, 4)))
    drawn = charts.curves(results.document(methods=dict.fromkeys(METHODS, curve_of)))
    assert {line.method: (line.label, line.colour) for line in drawn.lines} == {
        name: (method.label, method.colour) for name, method in METHODS.items()
    }


def curve(*rows: tuple[float, int, int]) -> list[CurveRow]:
    return [CurveRow(scale=scale, forget=results.figure(f, 4), retain=results.figure(r, 4)) for scale, f, r in rows]


def test_curves_lie_between_no_scale_and_the_last_of_any_method() -> None:
    """λ from 0 to 2: a scale of 1 lies halfway, an accuracy of a half too."""
    methods = {
        "base": MethodRow(),
        "uniform": MethodRow(scale=2.0, curve=curve((0.0, 4, 4), (2.0, 0, 4))),
        "negmerge": MethodRow(scale=1.0, curve=curve((0.0, 4, 4), (1.0, 2, 4))),
    }
    drawn = charts.curves(results.document(methods=methods))
    assert [line.method for line in drawn.lines] == ["negmerge", "uniform"]
    half, high, low = charts.WIDTH / 2, "0.0", f"{charts.HEIGHT / 2:.1f}"
    assert drawn.lines[0].forget == f"0.0,{high} {half:.1f},{low}"
    assert drawn.scales == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("last", "scales"),
    [
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.05, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (2.0, [0, 0.5, 1.0, 1.5, 2.0]),
        (0.003, [0, 0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003]),
        (1000.0, [0, 200, 400, 600, 800, 1000]),
    ],
)
def test_the_axis_has_few_round_scales_in_their_places(last: float, scales: list[float]) -> None:
    methods = {"base": MethodRow(), "negmerge": MethodRow(scale=last, curve=curve((0.0, 4, 4), (last, 2, 4)))}
    ticks = charts.curves(results.document(methods=methods)).ticks
    assert [scale for scale, _ in ticks] == pytest.approx(scales)
    assert [x for _, x in ticks] == pytest.approx([charts.WIDTH * scale / last for scale in scales], abs=0.01)


def test_a_bar_is_the_share_of_elements_that_so_many_runs_move_one_way() -> None:
    consensus = Consensus(share=0.5, tensors={"a": 0.5}, needed=4, counts=[0, 0, 2, 4, 10])
    bars = charts.agreement(consensus)
    assert [(bar.runs, bar.share, bar.needed) for bar in bars] == [
        (2, 0.125, False),
        (3, 0.25, False),
        (4, 0.625, True),
    ]
    assert [bar.height for bar in bars] == [charts.BARS_HEIGHT * share for share in (0.2, 0.4, 1.0)]


def test_a_result_of_an_earlier_version_has_no_bars() -> None:
    assert charts.agreement(Consensus(share=0.5, tensors={"a": 0.5})) == []


def waiting(api: Api, tenant: str = "acme", **spec: Any) -> str:
    """A job in a queue that no worker of these tests looks at."""
    return records.make_job(api.database, tenant, "elsewhere", **spec)


def cancel(client: TestClient, job_id: str) -> int:
    data = {"token": token_of(client)}
    return client.post(f"/jobs/{job_id}/cancel", data=data, headers=HERE, follow_redirects=False).status_code


def state(api: Api, job_id: str) -> str:
    return records.read_job(api.database, job_id).state


def test_a_job_is_cancelled_by_whoever_may_write(client: TestClient, api: Api) -> None:
    job_id = waiting(api)
    assert cancel(client, job_id) == 303
    assert state(api, job_id) == JobState.CANCELLED


def test_a_job_is_not_cancelled_by_whoever_may_only_read(client: TestClient, api: Api) -> None:
    job_id = waiting(api)
    enter(client, key_of(api, scopes=(Scope.READ,)))
    assert "Cancel the job" not in client.get(f"/jobs/{job_id}").text
    assert cancel(client, job_id) == 403
    assert state(api, job_id) == JobState.QUEUED


def test_a_job_that_is_over_cannot_be_cancelled(client: TestClient, api: Api) -> None:
    job_id = waiting(api)
    cancel(client, job_id)
    assert cancel(client, job_id) == 409


@pytest.mark.parametrize("path", ["", "/points", "/weights", "/files/result.json"])
def test_another_tenants_job_is_not_there(client: TestClient, api: Api, path: str) -> None:
    job_id = waiting(api, "rival")
    answer = client.get(f"/jobs/{job_id}{path}")
    assert answer.status_code == 404
    assert f"there is no job '{job_id}'" in unescape(answer.text)


@pytest.mark.parametrize("path", ["job_0", "%2e%2e", "job_%00", "a" * 300])
def test_what_is_no_id_names_nothing(client: TestClient, path: str) -> None:
    assert client.get(f"/jobs/{path}").status_code == 404


def test_a_strangers_names_are_shown_and_never_obeyed(client: TestClient, api: Api) -> None:
    select = {"classes": ["<script>alert(1)</script>"]}
    metadata = {"ticket": "\u202eevil", "note": "<img src=x onerror=alert(1)>"}
    job_id = waiting(api, forget={"dataset": "ds_1", "select": select}, metadata=metadata)
    for path in ("/", f"/jobs/{job_id}", f"/jobs/{job_id}/points"):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "\u202e" not in text


def test_a_files_bytes_come_as_they_are_and_open_nowhere(api: Api) -> None:
    files = {"report.html": b"<script>1</script>", "unlearned/model.safetensors": b"weights"}
    job_id = api.finished_job(files)
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    answer = api.client.get(f"/jobs/{job_id}/files/report.html")
    assert answer.content == files["report.html"]
    assert answer.headers["content-disposition"].startswith("attachment")
    assert api.client.get(f"/jobs/{job_id}/weights").content == b"weights"


def test_a_view_that_renews_itself_is_loaded_anew_once_the_job_is_over(client: TestClient, api: Api) -> None:
    job_id = waiting(api)
    cancel(client, job_id)
    answer = client.get(f"/jobs/{job_id}", headers={"HX-Request": "true"})
    assert answer.headers["hx-refresh"] == "true"


def test_a_session_that_ended_sends_a_view_that_renews_itself_to_the_sign_in(client: TestClient) -> None:
    client.cookies.clear()
    answer = client.get("/", headers={"HX-Request": "true"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in?next=%2F&ended=true")


def test_a_failed_job_says_why_in_words(client: TestClient, api: Api) -> None:
    job_id = api.failed_job()
    text = re.sub(r"\s+", " ", client.get(f"/jobs/{job_id}").text)
    assert "Why it failed" in text
    assert "the disk is full" in text
