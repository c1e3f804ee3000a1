"""The page: how long the list of jobs takes to its first paint in a real browser, with 1,000 jobs in the table.

uvicorn in this process, SQLite on disk, headless Chromium on loopback; each load is of a fresh profile, so that no
asset is kept. The issue's target: under 300 ms.
"""

import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from playwright.sync_api import Browser

from app import auth
from app.record import jobs
from app.record.db import Database
from app.settings import Settings
from benchmarks.timing import spread
from negmerge.spec.job import parse
from tests.support import browser as browsers
from tests.support.listening import listening
from tooling.machine import machine

JOBS = 1000
LOADS = 20
WARM_UP = 3
_SPEC = {
    "base_model": {"family": "open_clip", "weights": "mdl_1"},
    "forget": {"dataset": "ds_1", "select": {"classes": ["seven"]}},
    "retain": {"dataset": "ds_1"},
    "sweep": {"grid": {"learning_rate": [1e-5, 3e-5, 1e-4], "epochs": [1, 2, 3, 4]}},
}
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def main() -> None:
    """Measure and print."""
    print(machine())
    with tempfile.TemporaryDirectory(prefix="nm-") as folder, browsers.chromium() as browser:
        print(", ".join(f"{name} {version(name)}" for name in ("fastapi", "jinja2")), f"Chromium {browser.version}")
        settings = Settings(data_dir=Path(folder))
        key = _fill(Database(settings.database_url))
        with listening(settings) as port:
            origin = f"http://127.0.0.1:{port}"
            for path in ("/", "/?q=DSR-7"):
                painted, answered = zip(*(_load(browser, origin, path, key) for _ in range(LOADS)), strict=True)
                print(
                    f"{path}, {JOBS} jobs: first paint {spread(painted[WARM_UP:], 'ms')}, "
                    f"the answer whole {spread(answered[WARM_UP:], 'ms')}"
                )


def _fill(database: Database) -> str:
    """A key, and the jobs of its tenant."""
    database.migrate()
    started = time.monotonic()
    with database.write() as session:
        row, key = auth.create_key(session, "benchmark")
        for number in range(JOBS):
            spec = parse(_SPEC | {"metadata": {"ticket": f"DSR-{number}"}})
            jobs.create(session, row.tenant, row.id, spec, "default")
    database.dispose()
    print(f"{JOBS} jobs of 12 points made in {time.monotonic() - started:.1f} s")
    return key


def _load(browser: Browser, origin: str, path: str, key: str) -> tuple[float, float]:
    """Milliseconds from the request to the first paint, and to the answer's end."""
    with browsers.watched(browser, origin) as visitor:
        visitor.open("/sign-in")
        cookie = visitor.page.request.post(
            f"{origin}/sign-in", form={"key": key}, headers={"Sec-Fetch-Site": "same-origin"}, max_redirects=0
        )
        assert cookie.status == 303
        visitor.open(path)
        painted = _first_paint(visitor)
        answered = float(visitor.page.evaluate("performance.getEntriesByType('navigation')[0].responseEnd"))
    return painted, answered


def _first_paint(visitor: browsers.Watched) -> float:
    """Milliseconds from the navigation's start. Asked for again and again: the page lets no text be evaluated."""
    while (found := visitor.page.evaluate(_FIRST_PAINT)) is None:
        visitor.page.wait_for_timeout(5)
    return float(found)


if __name__ == "__main__":
    main()
