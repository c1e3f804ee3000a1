"""A job's views in a real browser: watched while it runs, cancelled, and read when it has a result."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from app.record import leases
from app.record.states import JobState
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support import page_results, records
from tests.support.browser import PHONE, Watched

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def finished(site: Site) -> str:
    """A job with a result."""
    return page_results.finished(site.api)


@pytest.fixture(scope="module")
def of_transformers(site: Site) -> str:
    """A job with a result whose model came as a folder of transformers."""
    return page_results.finished(site.api, of_transformers=True)


@pytest.fixture(scope="module")
def running(site: Site, finished: str, of_transformers: str) -> str:
    """A job of which a worker trains the first point. Those with results come first: nothing else is due then."""
    job_id = records.make_tuning_job(site.api.database)
    held = records.claim(site.api.database, records.make_worker())
    with site.api.database.write() as session:
        leases.report_progress(session, held, 5, 10, 1.0, [(1, 4.0), (5, 1.0)])
    return job_id


@pytest.fixture(scope="module")
def cancelled(site: Site) -> str:
    """A job that ended without a result."""
    job_id = records.make_job(site.api.database, queue="elsewhere")
    records.cancel(site.api.database, job_id)
    return job_id


def test_a_running_job_is_watched_and_cancelled_by_keyboard(site: Site, page: Watched) -> None:
    job_id = records.make_job(site.api.database, queue="elsewhere")
    page.open(f"/jobs/{job_id}")
    page.page.get_by_role("button", name="Cancel the job").focus()
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_role("dialog")).to_be_visible()
    expect(page.page.get_by_role("button", name="Let it run")).to_be_focused()
    page.page.keyboard.press("Escape")
    expect(page.page.get_by_role("dialog")).to_be_hidden()
    page.page.keyboard.press("Enter")
    page.page.get_by_role("dialog").get_by_role("button", name="Cancel the job").press("Enter")
    expect(page.page.get_by_text("Cancelled", exact=True)).to_be_visible()
    assert records.read_job(site.api.database, job_id).state == JobState.CANCELLED


def test_a_view_of_a_running_job_turns_into_that_of_its_end(site: Site, page: Watched) -> None:
    job_id = records.make_job(site.api.database, queue="elsewhere")
    page.open(f"/jobs/{job_id}")
    expect(page.page.locator("#live")).to_be_visible()
    records.cancel(site.api.database, job_id)
    expect(page.page.get_by_text("Cancelled", exact=True)).to_be_visible()


def test_the_grid_says_to_a_screen_reader_what_it_shows(page: Watched, running: str) -> None:
    page.open(f"/jobs/{running}")
    cells = page.page.get_by_role("list", name="The points of the sweep").get_by_role("listitem")
    expect(cells).to_have_count(3)
    expect(cells.first).to_have_text("Point 0 is being trained: epochs 1")


def test_the_slider_moves_every_method_and_the_download(page: Watched, finished: str) -> None:
    """By the arrow keys: from the chosen 0.5 to 1, where the other method was tried too, and back."""
    page.open(f"/jobs/{finished}")
    rows = page.page.locator("#at-scale tbody tr")
    expect(rows).to_have_text(["NegMerge 25.0 %95.0 %0.5", "uniform mean not measured here––1"])
    page.page.get_by_role("slider").press("ArrowRight")
    expect(rows).to_have_text(["NegMerge 0.0 %50.0 %0.5", "uniform mean 10.0 %90.0 %1"])
    expect(page.page.get_by_text("Download the weights at λ = 1")).to_be_visible()
    page.page.get_by_role("slider").press("ArrowLeft")
    expect(page.page.locator("#scale-now")).to_have_text("0.5")


def test_the_slider_moves_the_folder_for_transformers_too(page: Watched, of_transformers: str) -> None:
    job = of_transformers
    page.open(f"/jobs/{job}")
    link = page.page.get_by_role("link", name="The same for transformers")
    expect(link).to_have_attribute("href", f"/jobs/{job}/weights?format=transformers")
    page.page.get_by_role("slider").press("ArrowRight")
    expect(link).to_have_attribute("href", f"/jobs/{job}/weights?format=transformers&scale=1.0")


def test_the_weights_are_downloaded_as_they_are(page: Watched, finished: str) -> None:
    page.open(f"/jobs/{finished}")
    with page.page.expect_download() as begun:
        page.page.get_by_role("link", name="Weights", exact=True).click()
    assert Path(begun.value.path()).read_bytes() == page_results.WEIGHTS


def test_the_result_is_said_in_a_sentence_first(page: Watched, finished: str) -> None:
    page.open(f"/jobs/{finished}")
    said = "The model recognises “three” in 1 of 20 test images (20 before)"
    expect(page.page.locator("main p").filter(has_text=said)).to_be_visible()


def test_a_time_says_in_which_zone_it_is(page: Watched, running: str) -> None:
    page.open(f"/jobs/{running}")
    expect(page.page.locator(".facts time")).to_have_text(re.compile(r"\d\d:\d\d UTC$"))


def test_where_colours_are_forced_the_current_place_and_progress_are_seen_without_them(
    site: Site, chromium: Browser, running: str
) -> None:
    with browsers.watched(chromium, site.origin, forced_colors="active") as forced:
        sign_in(forced, site.key())
        forced.open(f"/jobs/{running}")
        expect(forced.page.locator("nav [aria-current]")).to_have_css("text-decoration-line", "underline")
        expect(forced.page.locator(".stages .now strong")).to_have_css("text-decoration-line", "underline")
        expect(forced.page.locator("progress")).to_have_css("border-top-style", "solid")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("which", "below"),
    [("finished", ""), ("finished", "/points"), ("running", ""), ("running", "/points"), ("cancelled", "")],
)
def test_nothing_serious_is_wrong_with_a_jobs_views_on_a_phone(
    site: Site, chromium: Browser, finished: str, running: str, cancelled: str, which: str, below: str, scheme: str
) -> None:
    with browsers.watched(chromium, site.origin, viewport=PHONE, color_scheme=scheme) as phone:
        sign_in(phone, site.key())
        job_id = {"finished": finished, "running": running, "cancelled": cancelled}[which]
        phone.open(f"/jobs/{job_id}{below}")
        for summary in phone.page.locator("summary").all():
            summary.click()
        assert phone.misplaced() == []
        assert phone.seriously_wrong() == []
        assert phone.overflow() == 0
