"""Swagger UI and Redoc: all that their pages name is answered by the service, and nothing else is let in."""

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import pytest
from fastapi.testclient import TestClient

from app.api import reference
from app.settings import Settings
from tests.support.api_client import assert_problem, serving

PAGES = ("/docs", "/redoc")
MEDIA = {"js": "text/javascript", "css": "text/css", "json": "application/json"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Somebody without a key."""
    with serving(Settings(data_dir=tmp_path_factory.mktemp("data"))) as served:
        yield served.client


class Named(HTMLParser):
    """What a page names, and what it has in line."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline: list[str] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.urls += [value for name, value in attrs if name in ("src", "href") and value]
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style") and data.strip():
            self.inline.append(data)


def policy(client: TestClient, page: str) -> dict[str, list[str]]:
    """Directive → its sources."""
    header = client.get(page).headers["content-security-policy"]
    return {name: sources for name, *sources in (part.split() for part in header.split(";"))}


@pytest.mark.parametrize("page", PAGES)
def test_the_service_answers_all_that_a_page_names(client: TestClient, page: str) -> None:
    named = [url for url in Named(client.get(page).text).urls if url != "data:,"]
    assert len(named) >= 4
    for url in named:
        assert not urlsplit(url).netloc
        assert not url.startswith("/"), "a proxy may give the service a prefix"
        answer = client.get(urljoin(page, url))
        assert answer.status_code == 200, url
        assert answer.headers["content-type"].partition(";")[0] == MEDIA[url.rpartition(".")[2]]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_no_script_and_no_style_in_line(client: TestClient, page: str) -> None:
    assert Named("<p style=''><script>1</script>").inline  # it would be seen
    assert Named(client.get(page).text).inline == []


@pytest.mark.parametrize("page", PAGES)
def test_the_policy_lets_nothing_else_in(client: TestClient, page: str) -> None:
    found = policy(client, page)
    styles = ["'self'", "'unsafe-inline'"] if page == "/redoc" else ["'self'"]  # Redoc makes its own
    assert found == {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": styles,
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


@pytest.mark.parametrize("path", [*PAGES, *(f"/docs/{name}" for name in reference.ASSETS)])
def test_an_answer_is_taken_for_what_it_says_and_is_framed_by_nobody(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


def test_swagger_ui_keeps_no_key_and_asks_no_validator(client: TestClient) -> None:
    start = client.get("/docs/docs.js").text
    assert "persistAuthorization: false" in start
    assert "validatorUrl: null" in start


@pytest.mark.parametrize("name", ["docs.html", "..%2Freference.py", "%00", "favicon.png"])
def test_no_other_file_is_given(client: TestClient, name: str) -> None:
    assert_problem(client.get(f"/docs/{name}"), 404, "not-found")


def test_the_pages_are_no_operations(client: TestClient) -> None:
    assert [path for path in client.get("/openapi.json").json()["paths"] if path.startswith(("/docs", "/redoc"))] == []
