"""Data sets and models in a real browser: uploaded, looked at, followed to what was made of them, deleted."""

import json
import re

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, expect

from app.auth import Scope
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support.api_client import CONFIG, digits_zip, weights
from tests.support.browser import PHONE, Watched

pytestmark = [pytest.mark.server, pytest.mark.slow]

SEEING = (Scope.READ, Scope.WRITE, Scope.IMAGES)


@pytest.fixture(scope="module")
def dataset(site: Site) -> str:
    """A data set with a job that uses it."""
    return str(site.api.get(f"/v1/jobs/{site.api.job()}").json()["spec"]["forget"]["dataset"])


def chosen(page: Watched, name: str, content: bytes) -> Locator:
    file: FilePayload = {"name": name, "mimeType": "application/x", "buffer": content}
    page.page.get_by_label("File", exact=True).set_input_files([file])
    return page.page.get_by_role("button", name="Upload")


def test_an_archive_is_uploaded_and_what_is_in_it_is_shown(site: Site, visitor: Watched) -> None:
    sign_in(visitor, site.key(scopes=SEEING))
    visitor.open("/datasets")
    visitor.page.get_by_label("Name", exact=True).fill("Digits of Ada")
    visitor.page.get_by_label("Prompts for CLIP models").fill("the digit {}.\n a drawing of {}.\n")
    chosen(visitor, "digits.zip", digits_zip()).press("Enter")
    visitor.page.wait_for_url("**/datasets/ds_*")
    expect(visitor.page.get_by_role("heading", name="Digits of Ada")).to_be_visible()
    expect(visitor.page.get_by_role("row", name="seven 10")).to_be_visible()
    dataset = site.api.get(f"/v1/datasets/{visitor.page.url.rpartition('/')[2]}").json()
    assert dataset["templates"] == ["the digit {}.", "a drawing of {}."]
    loaded = "picture => picture.decode().then(() => picture.naturalWidth)"
    assert visitor.page.locator(".pictures img").first.evaluate(loaded) > 0


def test_a_model_is_uploaded_with_its_config(page: Watched) -> None:
    page.open("/models")
    page.page.get_by_label("Config").fill(json.dumps(CONFIG))
    chosen(page, "m.safetensors", weights()).click()
    page.page.wait_for_url("**/models/mdl_*")
    expect(page.page.get_by_role("heading", name="m.safetensors")).to_be_visible()


def test_an_upload_that_is_refused_says_why_and_can_be_tried_again(page: Watched) -> None:
    page.open("/datasets")
    button = chosen(page, "not.zip", b"hello")
    button.click()
    expect(page.page.get_by_role("status")).to_have_text("the archive is cut off or damaged: pack or send it again")
    expect(button).to_be_enabled()
    page.forgive(422)


def test_an_address_that_is_refused_is_told_where_it_stands(page: Watched) -> None:
    page.open("/datasets")
    page.page.get_by_label("Address").fill("https://elsewhere.example/a.zip")
    page.page.get_by_label("Address").press("Enter")
    expect(page.page.get_by_label("Address")).to_have_accessible_description(re.compile("NEGMERGE_ALLOWED_HOSTS"))
    expect(page.page.get_by_label("Address")).to_be_focused()
    expect(page.page.get_by_label("Address")).to_have_value("https://elsewhere.example/a.zip")
    page.forgive(422)


def test_nothing_is_taken_without_the_sessions_token(site: Site, page: Watched) -> None:
    before = len(site.api.get("/v1/datasets").json()["data"])
    for headers in ({}, {"X-Form-Token": "0" * 64}):
        here = {"Sec-Fetch-Site": "same-origin"} | headers
        file: FilePayload = {"name": "digits.zip", "mimeType": "application/zip", "buffer": digits_zip()}
        answer = page.page.request.post(f"{site.origin}/datasets", multipart={"file": file}, headers=here)
        assert answer.status == 403
    assert len(site.api.get("/v1/datasets").json()["data"]) == before


def test_a_data_set_leads_to_the_jobs_and_models_that_used_it(page: Watched, dataset: str) -> None:
    page.open(f"/datasets/{dataset}")
    page.page.get_by_role("link", name="m.safetensors").click()
    page.page.wait_for_url("**/models/mdl_*")
    page.page.get_by_role("link", name="The class “seven”").click()
    page.page.wait_for_url("**/jobs/job_*")


def test_what_a_job_needs_is_not_deleted_and_the_page_says_so(page: Watched, dataset: str) -> None:
    page.open(f"/datasets/{dataset}")
    page.page.get_by_role("button", name="Delete").press("Enter")
    page.page.get_by_role("button", name="Delete it").press("Enter")
    expect(page.page.get_by_text("wait until they end, or cancel them")).to_be_visible()
    page.forgive(409)


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_what_nobody_needs_is_deleted_after_a_question(site: Site, page: Watched, kind: str) -> None:
    entry = getattr(site.api, kind)()
    page.open(f"/{kind}s/{entry}")
    page.page.get_by_role("button", name="Delete").click()
    expect(page.page.get_by_role("button", name="Keep it")).to_be_focused()
    page.page.get_by_role("button", name="Delete it").click()
    page.page.wait_for_url(f"**/{kind}s")
    assert site.api.get(f"/v1/{kind}s/{entry}").status_code == 404


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_another_tenants_are_not_there(site: Site, visitor: Watched, kind: str) -> None:
    entry = getattr(site.api, kind)()
    sign_in(visitor, site.key("other", SEEING))
    assert visitor.page.request.get(f"{site.origin}/{kind}s/{entry}").status == 404
    visitor.open(f"/{kind}s")
    expect(visitor.page.get_by_text("yet.")).to_be_visible()


def test_a_key_that_may_only_read_finds_nothing_to_press(site: Site, visitor: Watched, dataset: str) -> None:
    sign_in(visitor, site.key(scopes=(Scope.READ,)))
    for address in ("/datasets", f"/datasets/{dataset}", "/models"):
        visitor.open(address)
        expect(visitor.page.locator("main button, main form, main img")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_wrong_with_these_views_on_a_phone(
    site: Site, chromium: Browser, dataset: str, scheme: str
) -> None:
    with browsers.watched(chromium, site.origin, viewport=PHONE, color_scheme=scheme) as phone:
        sign_in(phone, site.key(scopes=SEEING))
        for address in ("/datasets", f"/datasets/{dataset}", "/models", f"/models/{site.api.model()}"):
            phone.open(address)
            assert (phone.seriously_wrong(), phone.overflow()) == ([], 0), address
