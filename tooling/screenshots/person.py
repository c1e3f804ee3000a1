"""What a person does on the page, step by step, from an empty service to a class and twelve pictures that are gone."""

import io
import zipfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.browser import Watched
from tooling.digits import Digits

PATIENCE_MS = 120_000
"""For what the service has to read or compute first."""
PICTURES = 12
ALTERED = 3
"""Of the person's pictures: kept as JPEG, a little larger, as pictures come back from elsewhere."""


def signs_in(visitor: Watched, key: str) -> None:
    """By the form, as anybody does."""
    visitor.open("/sign-in")
    visitor.page.get_by_label("API key").fill(key)
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.page.get_by_role("heading", name="Jobs").wait_for()


def uploads_data(page: Page, digits: Digits) -> str:
    """The archive with the sentence that its model was trained with; returns the address of the data set."""
    page.get_by_label("Name", exact=True).fill("digits")
    page.get_by_label("Prompts for CLIP models").fill("\n".join(digits.templates))
    page.get_by_label("File", exact=True).set_input_files(digits.archive)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/ds_*", timeout=PATIENCE_MS)
    return page.url


def uploads_model(page: Page, digits: Digits) -> str:
    """The weights with their config; returns the address of the model."""
    page.get_by_label("Name", exact=True).fill("digits-clip")
    page.get_by_label("Config").fill((digits.model / "open_clip_config.json").read_text())
    page.get_by_label("File", exact=True).set_input_files(digits.model / "open_clip_model.safetensors")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/models/mdl_*", timeout=PATIENCE_MS)
    return page.url


def asks_for_a_class(page: Page) -> None:
    """The class three, judged by gates; waits until the page has said what it takes."""
    page.get_by_label("three").check()
    page.get_by_label("Right on what is forgotten").fill("25")
    page.get_by_label("Right on what is kept").fill("90")
    page.get_by_label("Ticket").fill("DSR-1")
    expect(page.locator("#cost").get_by_text("training samples").first).to_be_visible(timeout=PATIENCE_MS)


def asks_for_a_person(page: Page, pictures: list[Path]) -> None:
    """By pictures, each of which is confirmed; waits until the page has said what it takes."""
    page.get_by_label("A person’s pictures").check()
    page.get_by_label("Drop the person’s pictures here").set_input_files(pictures)
    expect(page.locator("#matches > ul > li")).to_have_count(len(pictures), timeout=PATIENCE_MS)
    for one in page.locator("#matches > ul > li").all():
        nearest = one.get_by_role("checkbox").first
        nearest.check()
    page.get_by_label("Stop when about so many are still right").fill("50")
    page.get_by_label("Right on what is forgotten").fill("60")
    page.get_by_label("Right on what is kept").fill("90")
    page.get_by_label("Ticket").fill("DSR-2")
    expect(page.locator("#cost").get_by_text(f"{PICTURES} training samples")).to_be_visible(timeout=PATIENCE_MS)


def begins(page: Page) -> str:
    """The job; returns its id."""
    page.get_by_role("button", name="Begin the job").click()
    page.wait_for_url("**/jobs/job_*")
    return page.url.rpartition("/")[2]


_COVERED = "shown => { shown.textContent = shown.textContent.replace(/_[0-9a-f]{64}$/, '_' + '•'.repeat(40)); }"


def makes_a_key(page: Page) -> None:
    """For something that only reads; it is shown once, here, and no secret gets into a picture."""
    names = ("Quarterly audit", "Nightly check", "Dashboard")
    taken = page.get_by_role("row").filter(has_text="read").count()
    page.get_by_label("Name: who or what uses it").fill(names[taken % len(names)])
    page.get_by_label("Days until it ends").fill("90")
    page.get_by_role("button", name="Make the key").click()
    page.locator("#key").wait_for()
    page.locator("#key").evaluate(_COVERED)


def own_pictures(archive: Path, folder: Path) -> list[Path]:
    """Twelve pictures of the archive under other names, as somebody might send them; the last ones altered."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    with zipfile.ZipFile(archive) as opened:
        names = sorted(name for name in opened.namelist() if name.startswith("five/"))[:PICTURES]
        for number, name in enumerate(names):
            content = opened.read(name)
            altered = number >= PICTURES - ALTERED
            path = folder / f"IMG_{number:04}.{'jpg' if altered else 'png'}"
            path.write_bytes(_altered(content) if altered else content)
            made.append(path)
    return made


def _altered(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as opened:
        larger = opened.resize((3 * opened.width, 3 * opened.height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    larger.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
