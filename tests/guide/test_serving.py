"""The guide is built of docs/ without a warning, and served so that a browser loads nothing from elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from mkdocs.commands.build import build
from mkdocs.config import load_config
from playwright.sync_api import Browser

from app.api import problems
from app.guide import serving
from tests.support import browser as browsers
from tests.support.listening import under_uvicorn

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide; any link or anchor that leads nowhere would have ended its build."""
    folder = tmp_path_factory.mktemp("guide")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder)))
    return folder


@pytest.fixture(scope="module")
def client(site: Path) -> Iterator[TestClient]:
    app = FastAPI()
    app.mount(serving.PLACE, serving.Guide(site))
    with TestClient(app) as client:
        yield client


@pytest.fixture(scope="module")
def origin(site: Path) -> Iterator[str]:
    """Where a real server shows it."""
    app = FastAPI()
    app.mount(serving.PLACE, serving.Guide(site))
    with under_uvicorn(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browsers.chromium() as browser:
        yield browser


def test_every_page_of_docs_is_in_it(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_the_methods_of_the_client_are_told_as_what_they_are(site: Path) -> None:
    """They are made by wrapping calls, which griffe, reading alone, would take for attributes."""
    page = (site / "reference/python.html").read_text()
    shown = re.sub(r"<[^>]+>", "", page)
    for name, returns in {"Jobs.submit": "Job", "Jobs.list": "Iterator[Job]", "Datasets.match": "list[Match]"}.items():
        assert f'id="negmerge.client.client.{name}"' in page
        assert f") -&gt; {returns}\n" in shown


def test_no_line_of_a_page_is_left_to_be_made(site: Path) -> None:
    assert [page for page in site.rglob("*.html") if "<!-- made:" in page.read_text()] == []


def test_it_begins_at_its_address(client: TestClient) -> None:
    answer = client.get("/guide/")
    assert answer.status_code == 200
    assert "NegMerge, as a service" in answer.text


def test_nothing_that_a_page_names_is_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="([^"]+)"', page.read_text())
        assert [place for place in loaded if "://" in place and 'rel="canonical"' not in place] == [], page


def test_the_policy_lets_nothing_in_from_elsewhere_and_every_script_of_the_build_run(site: Path) -> None:
    policy = dict(part.split(" ", 1) for part in serving.policy(site).split("; "))
    assert policy["default-src"] == "'none'"
    sources = {source for name in policy for source in policy[name].split() if not source.startswith("'sha256-")}
    assert sources == {"'none'", "'self'", "'unsafe-inline'", "data:"}
    assert "'unsafe-inline'" not in policy["script-src"]
    assert policy["script-src"].count("'sha256-") >= 2


def test_every_answer_carries_the_policy(client: TestClient, site: Path) -> None:
    for place in ("/guide/", "/guide/spec.html", "/guide/none.html"):
        assert client.get(place).headers["content-security-policy"] == serving.policy(site)


def test_every_place_of_the_navigation_is_there(client: TestClient) -> None:
    places = re.findall(r'<a href="([^"#]+)" class="md-nav__link', client.get("/guide/").text)
    assert len(places) > 30
    assert [place for place in places if client.get(f"/guide/{place}").status_code != 200] == []


@pytest.mark.server
def test_a_search_in_a_browser_finds_a_setting_without_a_network(origin: str, chromium: Browser) -> None:
    """What leaves the service, or breaks the policy, is a complaint of the watched page."""
    with browsers.watched(chromium, origin) as visitor:
        visitor.open("/guide/")
        visitor.page.get_by_role("textbox", name="Search").fill("flush seconds")
        visitor.page.locator("a.md-search-result__link", has_text="How often a worker commits").first.click()
        visitor.page.get_by_role("heading", name="NEGMERGE_FLUSH_SECONDS").wait_for()
        assert urlsplit(visitor.page.url).path == "/guide/reference/settings.html"


@pytest.mark.server
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", [browsers.WIDE, browsers.PHONE], ids=["wide", "phone"])
def test_a_page_fits_its_window_and_can_be_read(origin: str, chromium: Browser, scheme: str, window: object) -> None:
    """By its size, its colours, and what axe-core calls serious, contrast among it."""
    with browsers.watched(chromium, origin, viewport=window, color_scheme=scheme) as visitor:
        for place in (
            "reading-a-report.html",
            "tutorials/a-class.html",
            "reference/http.html",
            "reference/command-line.html",
        ):
            visitor.open(f"/guide/{place}")
            assert visitor.overflow() <= 0, place
            red, green, blue = map(int, re.findall(r"\d+", background(visitor))[:3])
            assert (red + green + blue < 3 * 64) == (scheme == "dark"), place
            assert visitor.seriously_wrong() == [], place


def background(visitor: browsers.Watched) -> str:
    """The page's colour, as ``rgb(…)``."""
    found: str = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


@pytest.mark.parametrize("place", ["../../main.py", "..%2f..%2fmain.py", "%2e%2e/serving.py", "a%00b"])
def test_no_path_leaves_it(client: TestClient, place: str) -> None:
    assert client.get(f"/guide/{place}").status_code == 404


def test_where_it_was_not_built_the_answer_says_what_to_do(tmp_path: Path) -> None:
    assert not serving.is_built(tmp_path)
    app = FastAPI()
    problems.install(app)
    app.include_router(serving.router)
    answer = TestClient(app).get("/guide/")
    assert answer.status_code == 404
    assert "make docs" in answer.json()["detail"]
