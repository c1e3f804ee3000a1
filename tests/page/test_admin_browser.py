"""Administration in a real browser: a key is made, shown once, lets in, and is revoked; workers, disk and limits."""

import pytest
from playwright.sync_api import Browser, expect

from app.auth import Scope
from app.page.admin import limits
from app.record import db
from app.record.tables import Worker
from app.settings import Settings
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support.browser import PHONE, Watched

pytestmark = [pytest.mark.server, pytest.mark.slow]

ADMIN = (Scope.READ, Scope.ADMIN)


@pytest.fixture
def admin(site: Site, visitor: Watched) -> Watched:
    """The view, before an administrator of tenant acme."""
    sign_in(visitor, site.key(scopes=ADMIN))
    visitor.open("/admin")
    return visitor


def test_a_key_is_made_shown_once_and_lets_in_with_its_scopes(site: Site, admin: Watched) -> None:
    admin.page.get_by_label("Name: who or what uses it").fill("Nightly")
    admin.page.get_by_label("write begin, cancel").check()
    admin.page.get_by_role("button", name="Make the key").press("Enter")
    key = admin.page.locator("#key").inner_text()
    admin.open("/admin")
    assert key.split("_")[2] not in admin.page.content()
    bearer = {"Authorization": f"Bearer {key}"}
    assert site.api.get("/v1/jobs", headers=bearer).status_code == 200
    assert site.api.post("/v1/jobs", json={}, headers=bearer).status_code == 422


def test_a_revoked_key_lets_in_no_more(site: Site, admin: Watched) -> None:
    key = site.key()
    key_id = f"key_{key.split('_')[1]}"
    admin.open("/admin")
    admin.page.get_by_label(f"Revoke somebody {key_id}", exact=True).click()
    expect(admin.page.get_by_role("button", name="Keep it")).to_be_focused()
    admin.page.get_by_role("button", name="Revoke it").click()
    expect(admin.page.get_by_role("row", name=key_id).get_by_text("revoked")).to_be_visible()
    assert site.api.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 401


def test_what_is_wrong_with_a_key_is_told_beside_it(admin: Watched) -> None:
    admin.page.get_by_label("read look at").uncheck()
    admin.page.get_by_label("Days until it ends").fill("0")
    admin.page.get_by_role("button", name="Make the key").click()
    expect(admin.page.locator(".wrong")).to_have_count(3)
    expect(admin.page.get_by_label("Name: who or what uses it")).to_have_accessible_description(
        "Give a name of at most 200 characters, all of which can be seen"
    )
    admin.forgive(422)


def test_another_tenants_keys_are_neither_seen_nor_revoked(site: Site, admin: Watched) -> None:
    key = site.key("other")
    key_id = f"key_{key.split('_')[1]}"
    admin.open("/admin")
    expect(admin.page.get_by_text(key_id)).to_have_count(0)
    token = admin.page.locator('meta[name="form-token"]').get_attribute("content") or ""
    here = {"Sec-Fetch-Site": "same-origin"}
    address = f"{site.origin}/admin/keys/{key_id}/revoke"
    assert admin.page.request.post(address, form={"token": token}, headers=here).status == 404
    assert site.api.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_a_worker_is_told_with_its_machine(site: Site, admin: Watched) -> None:
    with site.api.database.write() as session:
        now = db.now(session)
        known = {"queue": "default", "device": "cpu", "threads": 3, "started_at": now, "seen_at": now}
        session.add(Worker(id="wrk_1", host="basement", pid=7, **known))
    admin.open("/admin")
    expect(admin.page.get_by_role("row", name="basement, process 7")).to_contain_text("cpu, 3 threads")


def test_every_limit_that_is_shown_says_what_it_means() -> None:
    assert all(limit.meaning and limit.value for limit in limits(Settings()))


def test_only_administrators_come_here(site: Site, page: Watched) -> None:
    expect(page.page.get_by_role("link", name="Admin")).to_have_count(0)
    here = {"Sec-Fetch-Site": "same-origin"}
    assert page.page.request.get(f"{site.origin}/admin").status == 403
    assert page.page.request.post(f"{site.origin}/admin/keys", form={"name": "x"}, headers=here).status == 403


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_wrong_with_the_view_on_a_phone(site: Site, chromium: Browser, scheme: str) -> None:
    with browsers.watched(chromium, site.origin, viewport=PHONE, color_scheme=scheme) as phone:
        sign_in(phone, site.key(scopes=ADMIN))
        phone.open("/admin")
        ends = phone.page.locator("td[data-label=Ends]").first
        assert ends.evaluate("cell => getComputedStyle(cell, '::before').content") == '"Ends: "'
        assert phone.seriously_wrong() == []
        assert phone.overflow() == 0
