"""The form of a new request in a real browser: what it shows, keeps and tells. Whole walks are in test_walk_browser."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from app.auth import Scope
from app.record import jobs
from app.record.tables import Job
from tests.page.conftest import Site, sign_in
from tests.support import browser as browsers
from tests.support import pico
from tests.support.api_client import png, zipped
from tests.support.browser import PHONE, Watched

pytestmark = [pytest.mark.server, pytest.mark.slow]

JOB = re.compile(r"job_[0-9a-f]+")
ALL = (Scope.READ, Scope.WRITE, Scope.IMAGES)


@pytest.fixture(scope="module")
def archive(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, uploaded with a model that knows nothing of them."""
    folder = tmp_path_factory.mktemp("digits")
    path = pico.make_archive(folder / "digits.zip", ("zero", "one", "two"), per_class=10)
    model = pico.write_folder(folder / "model")
    weights = (model / "open_clip_model.safetensors").read_bytes()
    assert site.api.upload_dataset(path.read_bytes()).status_code == 201
    config = json.dumps(json.loads((model / "open_clip_config.json").read_text()))
    assert site.api.upload_model(weights, config=config).status_code == 201
    return path


@pytest.fixture
def asker(site: Site, visitor: Watched, archive: Path) -> Page:
    """The form, before somebody who may see pictures."""
    sign_in(visitor, site.key(scopes=ALL))
    visitor.open("/new")
    return visitor.page


def begun(site: Site, page: Page) -> Job:
    page.get_by_role("button", name="Begin the job").click()
    page.wait_for_url("**/jobs/job_*")
    with site.api.database.read() as session:
        return jobs.get(session, "acme", page.url.rpartition("/")[2])


def own_grid(page: Page) -> None:
    page.get_by_label("My own grid").check()
    page.get_by_label("Epochs").fill("1, 2")
    page.get_by_label("Batch size").fill("8")


def test_ticked_samples_stay_in_the_list_while_others_are_looked_at(asker: Page) -> None:
    asker.get_by_label("Single samples").check()
    asker.get_by_label("one/000.png").check()
    asker.get_by_role("button", name="More samples").click()
    expect(asker.get_by_label("one/000.png")).to_have_count(0)
    later = asker.locator("#picker input[type=checkbox]").first
    later.check()
    expect(asker.get_by_label("Samples that must go")).to_have_value(f"one/000.png\n{later.get_attribute('value')}")
    asker.get_by_role("button", name="First samples").click()
    expect(asker.get_by_label("one/000.png")).to_be_checked()


def asked_for(page: Page) -> list[str]:
    """All samples that the form sends, by whatever field."""
    sent = "[...new FormData(document.getElementById('request'))].filter(([name]) => /^(ids|sample)/.test(name))"
    values: list[list[str]] = page.evaluate(sent)
    return [line for _, value in values for line in value.splitlines()]


def test_boxes_follow_the_list_and_nothing_is_asked_for_beside_it(asker: Page) -> None:
    asker.get_by_label("Single samples").check()
    for sample in ("one/000.png", "one/001.png"):
        asker.get_by_label(sample).check()
    asker.get_by_label("Samples that must go").fill("one/001.png \ntwo/003.png")
    expect(asker.get_by_label("one/000.png")).not_to_be_checked()
    expect(asker.get_by_label("one/001.png")).to_be_checked()
    asker.get_by_label("one/002.png").check()
    assert asked_for(asker) == ["one/001.png", "two/003.png", "one/002.png"]


def test_one_sample_that_was_found_for_two_pictures_is_unticked_in_both_rows(asker: Page, archive: Path) -> None:
    asker.get_by_label("A person’s pictures").check()
    with zipfile.ZipFile(archive) as opened:
        picture = opened.read("two/003.png")
    mine: list[FilePayload] = [
        {"name": name, "mimeType": "image/png", "buffer": picture} for name in ("a.png", "b.png")
    ]
    asker.get_by_label("Drop the person’s pictures here").set_input_files(mine)
    found = asker.locator("#matches").get_by_label("two/003.png")
    expect(found.nth(1)).to_be_checked(timeout=30_000)
    found.nth(1).uncheck()
    expect(found.nth(0)).not_to_be_checked()
    assert asked_for(asker) == []


def test_the_keyboard_turns_pages_of_samples_and_keeps_its_place(asker: Page) -> None:
    asker.get_by_label("Single samples").check()
    more = asker.get_by_role("button", name="More samples")
    more.press("Enter")
    expect(asker.get_by_role("button", name="First samples")).to_be_visible()
    expect(asker.get_by_label("Class", exact=True)).to_be_focused()  # the last page has no button that leads further
    asker.get_by_role("button", name="First samples").press("Enter")
    expect(more).to_be_visible()
    expect(asker.get_by_label("Class", exact=True)).to_be_focused()


def test_what_is_open_stays_so_while_the_form_is_judged(asker: Page) -> None:
    asker.get_by_label("zero 10 samples").check()
    asker.get_by_text("Show as JSON").click()
    shown = asker.get_by_label("JSON", exact=True)
    expect(shown).to_contain_text("zero")
    asker.get_by_label("My own grid").check()
    expect(asker.get_by_text("It is shown once the form is complete").locator("visible=true")).to_have_count(1)
    epochs = asker.get_by_label("Epochs")
    epochs.press_sequentially("3")
    expect(shown).to_contain_text('"epochs": [')
    expect(shown).to_be_visible()
    expect(epochs).to_be_focused()


@pytest.mark.parametrize(("way", "runs"), [("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])])
def test_what_is_shown_runs_as_it_is_and_begins_this_very_job(
    site: Site, asker: Page, way: str, runs: list[str]
) -> None:
    asker.get_by_label("zero 10 samples").check()
    asker.get_by_label("Ticket").fill(f"by “{way}”, it's the same")
    asker.get_by_text(f"Show as {way}").click()
    shown = asker.get_by_label(way, exact=True)
    expect(shown).to_contain_text("it's the same")
    environment = os.environ | {"NEGMERGE_API_KEY": site.key()}
    done = subprocess.run([*runs, shown.inner_text()], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    begun = JOB.findall(done.stdout)[0]
    with site.api.database.read() as session:
        job = jobs.get(session, "acme", begun)
    assert (job.spec["forget"]["select"]["classes"], job.meta) == (["zero"], {"ticket": f"by “{way}”, it's the same"})


def test_what_is_gone_is_told_and_the_view_stays(site: Site, visitor: Watched) -> None:
    headers = site.api.key("gone")
    files = {"file": ("a.zip", zipped({f"{name}/{n:02}.png": png(n) for name in "ab" for n in range(15)}))}
    dataset = site.api.post("/v1/datasets", files=files, headers=headers).json()["id"]
    sign_in(visitor, site.key("gone"))
    visitor.open("/new")
    visitor.page.get_by_label("Single samples").check()
    site.api.request("DELETE", f"/v1/datasets/{dataset}", headers=headers)
    visitor.page.get_by_role("button", name="More samples").click()
    expect(visitor.page.get_by_text("This view was not renewed: there is no")).to_be_visible()
    expect(visitor.page.get_by_label("a/00.png")).to_be_visible()
    visitor.forgive(404)


def test_another_data_set_brings_its_own_classes_and_the_token_is_in_no_address(site: Site, visitor: Watched) -> None:
    headers = site.api.key("many")
    for name, classes in (("old", ("ape", "bee")), ("new", ("cat", "dog"))):
        files = {"file": (f"{name}.zip", zipped({f"{one}/{n}.png": png(n) for one in classes for n in range(10)}))}
        assert site.api.post("/v1/datasets", files=files, headers=headers).status_code == 201
    sign_in(visitor, site.key("many"))
    visitor.open("/new")
    visitor.page.get_by_label("dog 10 samples").check()
    visitor.page.get_by_label("Data set", exact=True).select_option(label="old.zip (20 samples)")
    expect(visitor.page.get_by_label("bee 10 samples")).to_be_visible()
    visitor.page.get_by_label("Single samples").check()
    visitor.page.get_by_label("Class", exact=True).select_option("bee")
    expect(visitor.page.get_by_label("ape/0.png")).to_have_count(0)
    assert not [url for url in visitor.requests if "token" in url]


def test_every_wrong_field_is_told_beside_it_and_nothing_is_lost(visitor: Watched, asker: Page) -> None:
    asker.get_by_label("My own grid").check()
    asker.get_by_label("Epochs").fill("many")
    asker.get_by_label("Right on what is kept").fill("200")
    asker.get_by_role("button", name="Begin the job").click()
    expect(asker.locator("#wrong-classes")).to_have_text("Choose at least one class")
    expect(asker.get_by_label("Epochs")).to_have_accessible_description(
        "Give whole numbers, with commas or spaces between them"
    )
    visitor.forgive(422)
    asker.get_by_label("one 10 samples").check()
    asker.get_by_label("Epochs").fill("1")
    asker.get_by_role("button", name="Begin the job").click()
    expect(asker.locator("#wrong-retain_min")).to_be_visible()
    expect(asker.get_by_label("one 10 samples")).to_be_checked()
    visitor.forgive(422)


def test_a_form_that_is_sent_twice_makes_one_job(site: Site, asker: Page) -> None:
    asker.get_by_label("zero 10 samples").check()
    asker.get_by_label("Ticket").fill("twice")
    asker.get_by_role("button", name="Begin the job").dblclick()
    asker.wait_for_url("**/jobs/job_*")
    assert len(site.api.get("/v1/jobs?metadata.ticket=twice").json()["data"]) == 1


def test_the_form_works_without_scripts(site: Site, chromium: Browser, archive: Path) -> None:
    with browsers.watched(chromium, site.origin, java_script_enabled=False) as plain:
        sign_in(plain, site.key())
        plain.open("/new")
        plain.page.get_by_label("two 10 samples").check()
        plain.page.get_by_role("button", name="What would it take?").click()
        expect(plain.page.locator("#cost").get_by_text("8 training samples, 1 test sample")).to_be_visible()
        assert begun(site, plain.page).spec["forget"]["select"]["classes"] == ["two"]


def test_the_keyboard_alone_begins_a_job(site: Site, asker: Page) -> None:
    asker.get_by_label("two 10 samples").press("Space")
    asker.get_by_role("button", name="Begin the job").press("Enter")
    asker.wait_for_url("**/jobs/job_*")


def test_enter_in_a_field_has_the_form_judged_and_what_is_wrong_is_told_beside_the_field(asker: Page) -> None:
    asker.get_by_label("zero 10 samples").check()
    kept = asker.get_by_label("Right on what is kept")
    kept.fill("most")
    kept.press("Enter")
    expect(kept).to_have_accessible_description("Give a number of percent, such as 5")
    expect(kept).to_have_attribute("aria-invalid", "true")
    kept.fill("95")
    expect(kept).not_to_have_attribute("aria-invalid", "true")
    expect(asker.locator("#wrong-retain_min")).to_be_hidden()
    assert asker.url.endswith("/new")


def test_a_form_outlives_its_session(site: Site, visitor: Watched, asker: Page) -> None:
    asker.get_by_label("zero 10 samples").check()
    asker.get_by_label("Ticket").fill("patience")
    asker.context.clear_cookies()
    asker.get_by_role("button", name="Begin the job").click()
    expect(asker.get_by_text("in another tab")).to_be_visible()
    here = {"Sec-Fetch-Site": "same-origin"}
    asker.request.post(f"{site.origin}/sign-in", form={"key": site.key()}, headers=here, max_redirects=0)
    assert begun(site, asker).meta == {"ticket": "patience"}
    visitor.complaints = [told for told in visitor.complaints if "status of 401" not in told]  # of judging meanwhile


def test_a_key_that_may_only_read_has_no_form(site: Site, visitor: Watched) -> None:
    sign_in(visitor, site.key(scopes=(Scope.READ,)))
    assert visitor.page.get_by_role("link", name="New request").count() == 0
    visitor.open("/new")
    expect(visitor.page.get_by_text("has no scope 'write'")).to_be_visible()
    visitor.forgive(403)


def test_another_tenants_data_set_is_not_there(site: Site, visitor: Watched, archive: Path) -> None:
    dataset = site.api.get("/v1/datasets").json()["data"][0]["id"]
    sign_in(visitor, site.key("other", ALL))
    here = {"Sec-Fetch-Site": "same-origin"}
    for address in (f"/new/samples?dataset={dataset}", f"/datasets/{dataset}/classes/0/picture"):
        assert visitor.page.request.get(site.origin + address, headers=here).status == 404
    visitor.open(f"/new?dataset={dataset}")
    expect(visitor.page.get_by_text("There is no data set yet")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("how", ["Whole classes", "Single samples", "A person’s pictures"])
def test_nothing_serious_is_wrong_with_the_form_on_a_phone(
    site: Site, chromium: Browser, archive: Path, how: str, scheme: str
) -> None:
    with browsers.watched(chromium, site.origin, viewport=PHONE, color_scheme=scheme) as phone:
        sign_in(phone, site.key(scopes=ALL))
        phone.open("/new")
        phone.page.get_by_label(how).check()
        phone.page.get_by_label("My own grid").check()
        expect(phone.page.locator("#cost").get_by_text("Still to do")).to_be_visible()
        assert phone.seriously_wrong() == []
        assert phone.overflow() == 0
