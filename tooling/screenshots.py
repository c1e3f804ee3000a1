"""``make screenshots``: every view of the page as a picture in docs/screenshots/, from a real run of the demo.

The demo has left a job; a second one that forgets another digit is watched while it runs, and compared then.
"""

import io
import time
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page

from demo.__main__ import main as run_demo
from demo.job import HERE
from tests.support import browser as browsers
from tooling.digits import SWEEP
from tooling.service import ENDINGS, events, running, submit

FOLDER = Path("docs/screenshots")
COLOURS = 256
"""Of a picture: flat ones lose nothing that anybody sees, and are a third of the size."""

WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}
LOOKS: dict[str, dict[str, Any]] = {"": WIDE, "-dark": WIDE | {"color_scheme": "dark"}, "-phone": PHONE}
"""What is put behind a picture's name, and how the browser is made for it."""


_ALL_PICTURES = """Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.complete || new Promise((done) => { image.onload = image.onerror = done; });
}))"""


def main() -> None:
    """Make all pictures anew."""
    run_demo()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running(HERE / "service", fresh=False) as client, browsers.chromium() as browser:
        first = newest(client)
        _take(browser, client, {"sign-in": "/sign-in"})
        second = submit(client, _other(client, first))
        _until_points_are_trained(client, second, 4)
        _take(browser, client, {"running": f"/jobs/{second}"})
        for event in events(client, second):
            if event["kind"] in ENDINGS and event["kind"] != "job.succeeded":
                raise SystemExit(f"the second job ended with {event['kind']}: {event['data']}")
        _take(browser, client, views(first, second))


def views(first: str, second: str) -> dict[str, str]:
    """Picture → address, of the views that show what is over."""
    return {
        "jobs": "/",
        "result": f"/jobs/{first}",
        "points": f"/jobs/{first}/points",
        "compare": f"/compare?job={first}&job={second}",
    }


def newest(client: httpx.Client) -> str:
    """The id of the newest job that succeeded."""
    page = client.get("/v1/jobs", params={"state": "succeeded", "limit": 1}).raise_for_status().json()
    return str(page["data"][0]["id"])


def _other(client: httpx.Client, job: str) -> dict[str, Any]:
    """The spec of a job, to forget another digit, by another method."""
    spec: dict[str, Any] = client.get(f"/v1/jobs/{job}").raise_for_status().json()["spec"]
    select = {"classes": ["three"]}
    return {
        "base_model": spec["base_model"],
        "forget": spec["forget"] | {"select": select},
        "retain": {"dataset": spec["retain"]["dataset"]},
        "sweep": SWEEP,
        "merge": {"method": "uniform"},
        "compare": ["negmerge"],
        "require": {"forget_max": 0.1, "retain_min": 0.9},
        "metadata": {"ticket": "DEMO-2"},
    }


def _until_points_are_trained(client: httpx.Client, job: str, count: int) -> None:
    while True:
        told = client.get(f"/v1/jobs/{job}").raise_for_status().json()
        points = told["progress"]["points"]
        if points["trained"] + points["folded"] >= count or told["terminal"]:
            return
        time.sleep(0.2)


def _take(browser: Browser, client: httpx.Client, addresses: dict[str, str]) -> None:
    """A picture of each view in each look."""
    origin = str(client.base_url).rstrip("/")
    key = client.headers["Authorization"].removeprefix("Bearer ")
    for look, options in LOOKS.items():
        with browsers.watched(browser, origin, **options) as visitor:
            if addresses.keys() != {"sign-in"}:
                here = {"Sec-Fetch-Site": "same-origin"}
                visitor.page.request.post(f"{origin}/sign-in", form={"key": key}, headers=here, max_redirects=0)
            for name, address in addresses.items():
                visitor.open(address)
                _save(visitor.page, FOLDER / f"{name}{look}.png")


def _save(page: Page, path: Path) -> None:
    """The whole view, once its pictures are there."""
    page.evaluate("scrollTo(0, document.body.scrollHeight)")  # pictures are fetched when they come into sight
    page.evaluate(_ALL_PICTURES)
    page.evaluate("scrollTo(0, 0)")
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as taken:
        few = taken.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)  # else grey pictures take all of them
        few.save(path, optimize=True)


if __name__ == "__main__":
    main()
