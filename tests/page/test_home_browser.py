"""The list of jobs in a real browser: found, renewed while somebody reads, ticked and followed."""

import pytest
from playwright.sync_api import Browser, expect

from app.auth import Scope
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support import records
from tests.support.browser import PHONE, Watched

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def jobs(site: Site) -> dict[str, str]:
    """Jobs of a tenant's in several states, by what they are."""
    database = site.api.database
    finished = records.make_finished_job(database, metadata={"ticket": "DSR-1"})
    running = records.make_tuning_job(database, metadata={"ticket": "DSR-2"})
    return {"finished": finished, "running": running}


def test_typing_finds_and_the_address_keeps_it(site: Site, page: Watched, jobs: dict[str, str]) -> None:
    page.open("/")
    page.page.get_by_label("Search").press_sequentially("DSR-1")
    expect(page.page.locator(f"#{jobs['running']}")).to_have_count(0)
    expect(page.page.locator(f"#{jobs['finished']}")).to_be_visible()
    page.page.wait_for_url(f"{site.origin}/?q=DSR-1*")
    page.page.reload()
    expect(page.page.locator(f"#{jobs['running']}")).to_have_count(0)


def test_a_service_that_cannot_be_reached_is_told_and_the_list_stays(page: Watched, jobs: dict[str, str]) -> None:
    page.open("/")
    page.page.context.set_offline(True)
    told = page.page.get_by_text("The service cannot be reached")
    expect(told).to_be_visible()
    expect(page.page.locator(f"#{jobs['finished']}")).to_be_visible()
    page.page.context.set_offline(False)
    expect(told).to_be_hidden()
    page.complaints.clear()  # of what was not to be reached


def test_the_list_renews_itself_and_leaves_the_focus_and_the_ticks(
    site: Site, page: Watched, jobs: dict[str, str]
) -> None:
    page.open("/")
    row = page.page.locator(f"#{jobs['running']}")
    tick = page.page.get_by_label(f"Compare {jobs['finished']}")
    tick.check()
    tick.focus()
    expect(row.get_by_text("Waiting")).to_be_visible()
    records.cancel(site.api.database, jobs["running"])
    expect(row.get_by_text("Cancelled")).to_be_visible()
    expect(tick).to_be_checked()
    expect(tick).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_wrong_with_the_list_on_a_phone(
    site: Site, chromium: Browser, jobs: dict[str, str], scheme: str
) -> None:
    with browsers.watched(chromium, site.origin, viewport=PHONE, color_scheme=scheme) as phone:
        sign_in(phone, site.key(scopes=(Scope.READ,)))
        assert phone.page.locator("table.jobs tr").count() > len(jobs)
        assert phone.seriously_wrong() == []
        assert phone.overflow() == 0
