"""Swagger UI and Redoc in a browser: all there, nothing asked of others, no key kept."""

from tests.page.conftest import Site
from tests.support.browser import Watched


def stored(visitor: Watched) -> int:
    """How many things the page keeps beyond its own life."""
    found: int = visitor.page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length")
    return found


def test_swagger_ui_tries_an_operation_and_forgets_the_key_with_the_page(site: Site, visitor: Watched) -> None:
    page = visitor.page
    visitor.open("/docs")
    page.get_by_role("button", name="Authorize").click()
    page.get_by_role("textbox").fill(site.key())
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").click()
    operation = page.locator("#operations-jobs-list_jobs")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()

    assert stored(visitor) == 0
    page.reload()
    page.locator(".auth-wrapper .authorize.unlocked").wait_for()
    # what it says of every link to an operation with a _ in its name
    visitor.complaints = [told for told in visitor.complaints if not told.startswith("Warning: escaping deep link")]


def test_redoc_shows_what_there_is(visitor: Watched) -> None:
    visitor.open("/redoc")
    visitor.page.get_by_role("heading", name="Create Job").wait_for()
    assert stored(visitor) == 0
