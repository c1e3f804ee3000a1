"""A real headless Chromium, watched: what it asks for, what it complains of, and what axe-core finds in a view."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
"""Debian's, which `make browser` installs."""

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

_MISPLACED = """[...document.querySelectorAll("svg")].flatMap(svg => {
  const whole = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].map(text => [text.textContent, text.getBoundingClientRect()]);
  const inside = box => box.left >= whole.left && box.right <= whole.right
    && box.top >= whole.top && box.bottom <= whole.bottom;
  const apart = (one, other) => one.right <= other.left || other.right <= one.left
    || one.bottom <= other.top || other.bottom <= one.top;
  const crossed = (box, place) => texts.some(([, other], index) => index !== place && !apart(box, other));
  return texts.filter(([, box], place) => !inside(box) || crossed(box, place)).map(([told]) => told);
})"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Skips the test with the reason where there is none, and fails it in CI."""
    if not CHROMIUM.exists():
        told = f"there is no {CHROMIUM}: `make browser` installs it where it may"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page whose every request and complaint is written down."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.origin = origin
        page.on("request", self._requested)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str) -> None:
        """Go to a path of the service."""
        self.page.goto(self.origin + path)

    def elsewhere(self) -> list[str]:
        """What was asked of anybody but the service."""
        return [url for url in self.requests if not url.startswith((f"{self.origin}/", "data:", "blob:"))]

    def seriously_wrong(self) -> list[str]:
        """What axe-core calls serious or critical in the view, and where."""
        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['help']} ({', '.join(str(node['target']) for node in one['nodes'][:3])})"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]

    def overflow(self) -> int:
        """By how many pixels the view is wider than the window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return wider

    def misplaced(self) -> list[str]:
        """Texts of drawings that stand outside of their drawing, where they are cut, or on another text."""
        found: list[str] = self.page.evaluate(_MISPLACED)
        return found

    def forgive(self, status: int) -> None:
        """The one complaint that an answer of this status is, which the test asked for."""
        [told] = [told for told in self.complaints if f"status of {status} " in told]
        self.complaints.remove(told)

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@contextmanager
def watched(browser: Browser, origin: str, **options: Any) -> Iterator[Watched]:
    """A page of a fresh profile; at the end nothing may have left the service, and nothing been complained of."""
    with browser.new_context(**{"viewport": WIDE, "locale": "en-GB", "timezone_id": "UTC"} | options) as context:
        context.set_default_timeout(10_000)
        page = Watched(context.new_page(), origin)
        yield page
        assert page.elsewhere() == []
        assert page.complaints == []
