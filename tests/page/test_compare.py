"""Jobs side by side: which fields differ, which figure is best, what a spreadsheet gets, and who may look."""

import csv
import io
import json
from html import unescape

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from app.page.compare import differing
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support import page_results, records
from tests.support.api_client import Api
from tests.support.browser import PHONE, Watched


@pytest.fixture(scope="module")
def two(api: Api) -> list[str]:
    """Two jobs, of which the second forgot more, and less of what stays."""
    first = page_results.finished(api, methods=page_results.methods(forget=5))
    second = page_results.finished(api, methods=page_results.methods(forget=1), scale=1.0)
    return [first, second]


def table(client: TestClient, ids: list[str]) -> dict[str, list[str]]:
    answer = client.get("/compare.csv", params={"job": ids})
    assert answer.status_code == 200, answer.text
    return {row[0]: row[1:] for row in csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))}


def test_a_field_that_differs_is_told_by_its_path_and_others_are_not() -> None:
    one = {"merge": {"method": "negmerge", "agreement": 1.0}, "seed": None}
    other = {"merge": {"method": "ties", "agreement": 1.0}, "compare": ["uniform"]}
    rows = {row.label: row.cells for row in differing([one, other])}
    assert rows == {"merge.method": ["negmerge", "ties"], "compare": ["–", "uniform"]}


def test_figures_are_aligned_in_the_order_of_the_choice(client: TestClient, two: list[str]) -> None:
    found = table(client, two[::-1])
    assert found[""] == two[::-1]
    assert found["scale λ"] == ["1", "0.5"]
    assert found["forget accuracy"] == ["5.0 % (1 of 20)", "25.0 % (5 of 20)"]


def test_the_lowest_forget_accuracy_is_the_best(client: TestClient, two: list[str]) -> None:
    text = " ".join(client.get("/compare", params={"job": two}).text.split())
    assert '<td class="best">5.0 % (1 of 20) <span class="hint">best</span></td>' in text
    assert text.count('class="best"') == 1  # both keep the same


def test_jobs_that_forget_different_samples_are_not_ranked(client: TestClient, api: Api, two: list[str]) -> None:
    other = page_results.finished_of(api, "one")
    assert 'class="best"' not in client.get("/compare", params={"job": [two[0], other]}).text


def of_samples(api: Api, right: int) -> str:
    """A job that forgot 20 listed samples, of which so many are still right; as many as unseen ones were wanted."""
    document = page_results.of_samples(right).as_json()
    select = {"ids": [f"seven/{number}.png" for number in range(20)]}
    files = {"result.json": json.dumps(document).encode()}
    return api.finished_job(files, forget={"dataset": "ds_1", "select": select})


def test_forgotten_samples_are_not_better_the_less_they_are_recognised(client: TestClient, api: Api) -> None:
    ids = [of_samples(api, right) for right in (20, 4)]
    assert table(client, ids)["forget accuracy aimed at"][0].startswith("95.0 %")
    assert 'class="best"' not in client.get("/compare", params={"job": ids}).text


def test_a_rule_that_was_left_out_is_told_as_the_one_in_force(client: TestClient, api: Api) -> None:
    given = api.finished_job(
        {"result.json": json.dumps(page_results.of_samples(4).as_json() | {"rule": "lowest_forget"}).encode()},
        scale_search={"rule": "lowest_forget"},
    )
    found = table(client, [of_samples(api, 4), given])
    assert found["scale_search.rule"] == ["match_unseen", "lowest_forget"]


def test_a_cell_shows_what_cannot_be_seen(client: TestClient, api: Api) -> None:
    one, other = (page_results.finished(api, metadata={"note": note}) for note in ("\u202eevil", "plain"))
    assert table(client, [one, other])["metadata.note"] == ["\\u202eevil", "plain"]


@pytest.mark.parametrize("ids", [[], ["job_1"], [f"job_{number}" for number in range(6)]])
def test_one_job_or_six_are_not_compared(client: TestClient, ids: list[str]) -> None:
    answer = client.get("/compare", params={"job": ids})
    assert answer.status_code == 422
    assert "choose 2 to 5 jobs" in unescape(answer.text)


def test_another_tenants_job_is_not_compared(client: TestClient, api: Api, two: list[str]) -> None:
    theirs = records.make_job(api.database, "rival", "elsewhere")
    for path in ("/compare", "/compare.csv"):
        assert client.get(path, params={"job": [two[0], theirs]}).status_code == 404


def test_a_job_without_a_result_is_not_compared(client: TestClient, api: Api, two: list[str]) -> None:
    waiting = records.make_job(api.database, queue="elsewhere")
    answer = client.get("/compare", params={"job": [two[0], waiting]})
    assert answer.status_code == 404
    assert "has no result" in unescape(answer.text)


@pytest.mark.server
@pytest.mark.slow
def test_ticked_jobs_are_compared(page: Watched, two: list[str]) -> None:
    page.open("/")
    for job_id in two:
        page.page.get_by_label(f"Compare {job_id}").check()
    page.page.get_by_role("button", name="Compare the selected").click()
    expect(page.page.get_by_role("heading", name="2 jobs side by side")).to_be_visible()
    with page.page.expect_download() as begun:
        page.page.get_by_role("link", name="Table (CSV)").click()
    assert begun.value.suggested_filename == "comparison.csv"


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_wrong_with_the_comparison_on_a_phone(
    site: Site, chromium: Browser, two: list[str], scheme: str
) -> None:
    with browsers.watched(chromium, site.origin, viewport=PHONE, color_scheme=scheme) as phone:
        sign_in(phone, site.key())
        phone.open(f"/compare?job={two[0]}&job={two[1]}")
        assert phone.seriously_wrong() == []
        assert phone.overflow() == 0
