"""Two people walk through the page, with a real worker behind it: one forgets a class, one a person's pictures."""

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance
from playwright.sync_api import FilePayload, Locator, Page, expect

from app.auth import Scope
from app.settings import Settings
from tests.page.conftest import Site, sign_in
from tests.support import page_results, pico
from tests.support.api_client import Api, serving
from tests.support.browser import Watched
from tests.support.service import WorkerProcess

pytestmark = [pytest.mark.server, pytest.mark.slow]

ALL = (Scope.READ, Scope.WRITE, Scope.IMAGES)
PATIENCE = 90_000
"""Milliseconds for what a worker does."""
MOST_KEYS = 60


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    """A service with a trained model and its digits, and one worker, which looks for a cancelled job often."""
    folder = tmp_path_factory.mktemp("walk")
    settings = Settings(
        data_dir=folder,
        broker_url=broker_url,
        threads=1,  # two would fight over a busy core
        lease_seconds=4.0,
        renew_seconds=0.4,
        poll_seconds=0.1,
        flush_seconds=1.0,
    )
    with serving(settings) as api:
        worker = WorkerProcess(settings)
        archive = pico.make_archive(folder / "digits.zip", per_class=12)
        given = {"class_names": json.dumps(pico.CLASS_WORDS), "templates": json.dumps(pico.TEMPLATES)}
        assert api.upload_dataset(archive.read_bytes(), **given).status_code == 201
        model = Path(shutil.make_archive(str(folder / "model"), "zip", pico.make_model(folder / "files")))
        assert api.post("/v1/models", files={"file": ("pico.zip", model.read_bytes())}).status_code == 201
        yield api
        worker.stop()


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus."""
    for _ in range(MOST_KEYS):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the Tab key does not lead to {wanted}")


def ask_by_keys(page: Page, epochs: str, ticket: str) -> str:
    """From the form's beginning: forget three by a grid of one's own. The id of the job."""
    reach(page, page.get_by_label("three 12 samples"))
    page.keyboard.press("Space")
    reach(page, page.get_by_label("Chosen for me"))
    page.keyboard.press("ArrowUp")
    for field, text in (("Learning rate", "1e-3, 2e-3"), ("Epochs", epochs), ("Batch size", "8"), ("Ticket", ticket)):
        reach(page, page.get_by_label(field))
        page.keyboard.type(text)
    reach(page, page.get_by_role("button", name="Begin the job"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/jobs/job_*")
    return page.url.rpartition("/")[2]


def test_a_class_is_forgotten_by_keyboard_cancelled_begun_again_compared_and_downloaded(
    site: Site, visitor: Watched
) -> None:
    page, other = visitor.page, page_results.finished(site.api)
    visitor.open("/new")
    page.keyboard.type(site.key(scopes=ALL))
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="New request").wait_for()
    cancelled = ask_by_keys(page, "2000", "DSR-7")
    points = page.get_by_role("list", name="The points of the sweep").get_by_role("listitem")
    expect(points.first).to_contain_text("is being trained", timeout=PATIENCE)
    page.get_by_role("button", name="Cancel the job").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").press("Enter")
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible(timeout=PATIENCE)

    page.get_by_role("link", name="New request").press("Enter")
    job = ask_by_keys(page, "4", "DSR-8")
    assert job != cancelled
    expect(page.get_by_text("test images").first).to_be_visible(timeout=PATIENCE)
    result, digests = site.api.get(f"/v1/jobs/{job}/result").json(), {}
    for name, file in (("Weights", "unlearned"), ("Report", "report.html")):
        with page.expect_download() as begun:
            page.get_by_role("link", name=name, exact=True).click()
        digest = hashlib.sha256(Path(begun.value.path()).read_bytes()).hexdigest()
        page.get_by_text("Files and digests").click()
        expect(page.get_by_role("row", name=file).get_by_text(digest)).to_be_visible()
        page.get_by_text("Files and digests").click()
        digests[name] = f"sha256:{digest}"
    assert digests["Weights"] == result["digests"]["unlearned"]

    page.get_by_role("link", name="Jobs", exact=True).first.click()
    for one in (job, other):
        page.get_by_label(f"Compare {one}").check()
    page.get_by_role("button", name="Compare the selected").click()
    expect(page.get_by_role("heading", name="2 jobs side by side")).to_be_visible()
    expect(page.get_by_role("region", name="Differences of the specs")).to_contain_text("three")


def test_a_persons_pictures_are_confirmed_and_these_very_samples_forgotten(site: Site, visitor: Watched) -> None:
    with zipfile.ZipFile(site.api.settings.data_dir / "digits.zip") as archive:
        copies = [archive.read(f"two/{n:03}.png") for n in (3, 5)]
        brighter = altered(archive.read("two/008.png"))
    mine: list[FilePayload] = [
        {"name": f"me {n}.png", "mimeType": "image/png", "buffer": picture}
        for n, picture in enumerate([*copies, brighter])
    ]
    page = visitor.page
    sign_in(visitor, site.key(scopes=ALL))
    visitor.open("/new")
    page.get_by_label("A person’s pictures").check()
    page.get_by_label("Drop the person’s pictures here").set_input_files(mine)
    matches = page.locator("#matches > ul > li")
    for match, sample in zip((matches.nth(0), matches.nth(1)), ("two/003.png", "two/005.png"), strict=True):
        expect(match.get_by_label(sample)).to_be_checked(timeout=PATIENCE)
    expect(matches.nth(2).get_by_role("checkbox", checked=True)).to_have_count(0)
    matches.nth(2).get_by_label("two/008.png").check()
    page.get_by_label("My own grid").check()
    page.get_by_label("Epochs").fill("2, 4")
    page.get_by_label("Batch size").fill("8")
    expect(page.locator("#cost").get_by_text("3 training samples")).to_be_visible()
    page.get_by_role("button", name="Begin the job").click()
    page.wait_for_url("**/jobs/job_*")
    job = page.url.rpartition("/")[2]
    sentence = page.locator(".verdict .big")
    expect(sentence).to_be_visible(timeout=PATIENCE)
    result = site.api.get(f"/v1/jobs/{job}/result").json()
    right = result["methods"]["negmerge"]["train"]["forget"]["correct"]
    expect(sentence).to_contain_text(f"right on {right} of 3 forgotten samples")
    assert sorted(result["spec"]["forget"]["select"]["ids"]) == ["two/003.png", "two/005.png", "two/008.png"]
    assert result["splits"]["forget"]["train"] == 3


def altered(picture: bytes) -> bytes:
    """The same picture with a little more light."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as opened:
        ImageEnhance.Brightness(opened).enhance(1.1).save(buffer, "PNG")
    return buffer.getvalue()
