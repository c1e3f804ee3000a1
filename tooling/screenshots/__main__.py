"""Everything that people look at: a fresh service, the walk over the page with its pictures, and all other views."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page

from tests.support import browser as browsers
from tests.support.browser import Watched
from tooling.digits import SWEEP, Digits, make_digits
from tooling.screenshots import person, transcripts
from tooling.screenshots.accessibility import Audit
from tooling.screenshots.pictures import FOLDER, LOOKS, PRINTS, save, save_print
from tooling.service import ENDINGS, download, events, running, submit

HERE = Path("var/screenshots")
DIGITS = Path("var/demo/digits")
"""What the demo makes, and made here if it is not there."""
OTHERS = {"docs": "/docs", "redoc": "/redoc", "guide": "/guide/"}
PRINTED = {"jobs", "result", "report"}

Step = Callable[[Page], Any]


@dataclass
class Studio:
    """A service, a browser, and the key of whoever is signed in."""

    client: httpx.Client
    browser: Browser
    audit: Audit

    @property
    def origin(self) -> str:
        """Where the service listens."""
        return str(self.client.base_url).rstrip("/")

    @property
    def key(self) -> str:
        """The first key, which may do everything."""
        return self.client.headers["Authorization"].removeprefix("Bearer ")

    def take(self, views: dict[str, tuple[str, Step | None]], *, signed_in: bool = True, origin: str = "") -> None:
        """A picture of each view in each look: what it is called, where it is, and what is done there first."""
        for look, options in LOOKS.items():
            with browsers.watched(self.browser, origin or self.origin, **options) as visitor:
                if signed_in:
                    self.enter(visitor)
                for name, (address, step) in views.items():
                    visitor.open(address)
                    if step is not None:
                        step(visitor.page)
                    save(visitor.page, name + look)
                    self.audit.look(visitor.page, name, look)
                    if not look and name in PRINTED:
                        save_print(visitor.page, name)

    def audit_others(self) -> None:
        """What others wrote is judged, and not photographed."""
        for look, options in LOOKS.items():
            with self.browser.new_context(**options) as context:
                page = context.new_page()
                for name, address in OTHERS.items():
                    page.goto(self.origin + address)
                    page.wait_for_load_state("networkidle")
                    self.audit.look(page, name, look)

    def enter(self, visitor: Watched) -> None:
        """Sign in as the form does, without its page."""
        here = {"Sec-Fetch-Site": "same-origin"}
        visitor.page.request.post(f"{self.origin}/sign-in", form={"key": self.key}, headers=here, max_redirects=0)


def main() -> None:
    """Make all pictures anew, and what the guide says of the run."""
    for folder in (FOLDER, PRINTS):
        folder.mkdir(parents=True, exist_ok=True)
    digits = make_digits(DIGITS)
    pictures = person.own_pictures(digits.archive, HERE / "person")
    with running(HERE / "service") as client, browsers.chromium() as browser:
        studio = Studio(client, browser, Audit(browser.version))
        first, dataset, model = _walk(studio, digits, pictures)
        third = _others(client, first)
        studio.take(_views(first, third, dataset, model))
        _report(studio, first)
        studio.audit_others()
        studio.audit.write()
        transcripts.write(client, DIGITS)


def _walk(studio: Studio, digits: Digits, pictures: list[Path]) -> tuple[str, str, str]:
    """From an empty service to a class and twelve pictures that are gone; the first job, the data, the model."""
    studio.take({"sign-in": ("/sign-in", None)}, signed_in=False)
    with browsers.watched(studio.browser, studio.origin, **LOOKS[""]) as visitor:
        person.signs_in(visitor, studio.key)
        visitor.open("/datasets")
        dataset = person.uploads_data(visitor.page, digits).removeprefix(studio.origin)
        visitor.open("/models")
        model = person.uploads_model(visitor.page, digits).removeprefix(studio.origin)
        studio.take({"new": ("/new", person.asks_for_a_class)})
        visitor.open("/new")
        person.asks_for_a_class(visitor.page)
        first = person.begins(visitor.page)
        _until_points_are_trained(studio.client, first, 3)
        studio.take({"running": (f"/jobs/{first}", None)})
        _until_it_succeeded(studio.client, first)
        studio.take({"result": (f"/jobs/{first}", None)})

        def by_pictures(page: Page) -> None:
            person.asks_for_a_person(page, pictures)

        studio.take({"new-pictures": ("/new", by_pictures)})
        visitor.open("/new")
        by_pictures(visitor.page)
        second = person.begins(visitor.page)
        _until_it_succeeded(studio.client, second)
        studio.take({"result-pictures": (f"/jobs/{second}", None)})
    return first, dataset, model


def _others(client: httpx.Client, first: str) -> str:
    """Jobs that end in other ways, and one that runs; returns one that can be compared with the first."""
    spec: dict[str, Any] = client.get(f"/v1/jobs/{first}").raise_for_status().json()["spec"]
    base = {name: spec[name] for name in ("base_model", "forget", "retain")}
    rest = {"sweep": SWEEP, "require": {"forget_max": 0.1, "retain_min": 0.99}}
    broken = {"grid": {"learning_rate": [1e6], "epochs": [1], "batch_size": [32]}}
    failing = base | {"sweep": broken | {"on_diverged": "fail"}, "metadata": {"ticket": "DSR-3"}}
    compared = {"merge": {"method": "uniform"}, "compare": ["negmerge", "task_arithmetic"]}
    third = submit(client, base | rest | compared | {"metadata": {"ticket": "DSR-1", "try": "2"}})
    _until_it_succeeded(client, third)
    _until_it_ended(client, submit(client, failing))
    client.post(f"/v1/jobs/{submit(client, base | rest | {'metadata': {'ticket': 'DSR-4'}})}/cancel").raise_for_status()
    submit(client, base | rest | {"metadata": {"ticket": "DSR-5"}})
    return third


def _views(first: str, third: str, dataset: str, model: str) -> dict[str, tuple[str, Step | None]]:
    """The views that show what is over."""
    return {
        "jobs": ("/", None),
        "points": (f"/jobs/{first}/points", None),
        "compare": (f"/compare?job={first}&job={third}", None),
        "datasets": ("/datasets", None),
        "dataset": (dataset, None),
        "models": ("/models", None),
        "model": (model, None),
        "admin": ("/admin", person.makes_a_key),
    }


def _report(studio: Studio, job: str) -> None:
    """The report as whoever it is sent to opens it: a file."""
    folder = (HERE / "report").absolute()
    folder.mkdir(exist_ok=True)
    download(studio.client, f"/v1/jobs/{job}/artifacts/report.html", folder / "report.html")
    studio.take({"report": ("/report.html", None)}, signed_in=False, origin=folder.as_uri())


def _until_points_are_trained(client: httpx.Client, job: str, count: int) -> None:
    while True:
        told = client.get(f"/v1/jobs/{job}").raise_for_status().json()
        points = told["progress"]["points"]
        if points["trained"] + points["folded"] >= count or told["terminal"]:
            return
        time.sleep(0.2)


def _until_it_ended(client: httpx.Client, job: str) -> dict[str, Any]:
    return next(event for event in events(client, job) if event["kind"] in ENDINGS)


def _until_it_succeeded(client: httpx.Client, job: str) -> None:
    ended = _until_it_ended(client, job)
    if ended["kind"] != "job.succeeded":
        raise SystemExit(f"{job} ended with {ended['kind']}: {ended['data']}")


if __name__ == "__main__":
    main()
