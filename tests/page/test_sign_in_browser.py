"""Signing in and out with a real browser: the way there, back, and what it looks like to a keyboard and to axe-core."""

import pytest
from playwright.sync_api import Browser

from app import auth
from app.auth import Scope
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support.browser import PHONE, Watched

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_whoever_is_not_signed_in_is_asked_for_a_key_and_comes_back(visitor: Watched, site: Site) -> None:
    visitor.open("/?state=failed")
    assert visitor.page.url == f"{site.origin}/sign-in?next=%2F%3Fstate%3Dfailed"
    visitor.page.get_by_label("API key").fill(site.key())
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url(f"{site.origin}/?state=failed")


def test_the_keyboard_alone_signs_in_and_out(visitor: Watched, site: Site) -> None:
    visitor.open("/")
    visitor.page.keyboard.type(site.key())  # the field has the focus
    visitor.page.keyboard.press("Enter")
    visitor.page.get_by_role("heading", name="Jobs").wait_for()
    visitor.page.get_by_role("button", name="Sign out").focus()
    visitor.page.keyboard.press("Enter")
    visitor.page.get_by_role("heading", name="Sign in").wait_for()
    visitor.open("/")
    assert "/sign-in" in visitor.page.url


def test_the_first_tab_leads_past_the_navigation(page: Watched) -> None:
    page.open("/")
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    assert page.page.evaluate("document.activeElement.id") == "content"


def test_the_cookie_is_unseen_by_scripts_and_stays_on_this_site(page: Watched) -> None:
    [cookie] = page.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.page.evaluate("document.cookie") == ""


def test_a_revoked_key_ends_its_sessions(site: Site, visitor: Watched) -> None:
    key = site.key()
    sign_in(visitor, key)
    with site.api.database.write() as session:
        auth.revoke_key(session, f"key_{key.split('_')[1]}")
    visitor.open("/")
    visitor.page.get_by_role("heading", name="Sign in").wait_for()


def test_a_wrong_key_is_told_and_the_place_is_kept(site: Site, visitor: Watched) -> None:
    visitor.open("/?state=failed")
    visitor.page.get_by_label("API key").fill("nm_0_" + "0" * 64)
    visitor.page.get_by_role("button", name="Sign in").click()
    assert visitor.page.get_by_role("alert").inner_text() == "the API key is not known here"
    assert visitor.page.locator("[name=next]").input_value() == "/?state=failed"
    visitor.forgive(401)


def test_a_link_on_another_site_leads_to_the_view_of_whoever_is_signed_in(site: Site, page: Watched) -> None:
    elsewhere = site.origin.replace("127.0.0.1", "localhost")  # another site to a browser
    page.page.goto(f"{elsewhere}/sign-in")
    page.page.evaluate("to => location.assign(to)", f"{site.origin}/?state=failed")
    page.page.get_by_role("heading", name="Jobs").wait_for()
    assert page.page.url == f"{site.origin}/?state=failed"
    page.requests = [url for url in page.requests if not url.startswith(elsewhere)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["/sign-in", "/"])
def test_nothing_serious_is_wrong_and_a_phone_shows_it_whole(
    site: Site, chromium: Browser, view: str, scheme: str
) -> None:
    with browsers.watched(chromium, site.origin, viewport=PHONE, color_scheme=scheme) as phone:
        sign_in(phone, site.key(scopes=(Scope.READ,)))
        phone.open(view)
        assert phone.seriously_wrong() == []
        assert phone.overflow() == 0
