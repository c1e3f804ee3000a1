"""The service under a real server, a real browser, and who is signed in."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser

from app import auth
from app.auth import Scope
from app.settings import Settings
from tests.support import browser as browsers
from tests.support.api_client import Api, serving
from tests.support.browser import Watched
from tests.support.listening import listening
from tests.support.page_visits import enter, key_of

READ_WRITE = (Scope.READ, Scope.WRITE)


@dataclass
class Site:
    """A service that listens: where, and what is behind it."""

    origin: str
    api: Api

    def key(self, tenant: str = "acme", scopes: tuple[Scope, ...] = READ_WRITE) -> str:
        """A new key."""
        with self.api.database.write() as session:
            return auth.create_key(session, "somebody", tenant, scopes)[1]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    """One service for a module, in this process."""
    folder = tmp_path_factory.mktemp("page")
    with serving(Settings(data_dir=folder, broker_url=broker_url, allowed_roots=[folder])) as api:
        yield api


@pytest.fixture
def client(api: Api) -> Iterator[TestClient]:
    """A browser without any script, in which somebody of tenant acme is signed in, who may read and write."""
    api.client.cookies.clear()
    enter(api.client, key_of(api))
    yield api.client
    api.client.cookies.clear()


@pytest.fixture(scope="module")
def site(api: Api) -> Iterator[Site]:
    """The same, under a real server."""
    with listening(api.settings) as port:
        yield Site(f"http://127.0.0.1:{port}", api)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module: while its loop runs, no other may in this thread."""
    with browsers.chromium() as browser:
        yield browser


@pytest.fixture
def visitor(site: Site, chromium: Browser) -> Iterator[Watched]:
    """A browser in which nobody is signed in."""
    with browsers.watched(chromium, site.origin) as page:
        yield page


@pytest.fixture
def page(site: Site, visitor: Watched) -> Watched:
    """A browser in which somebody of tenant acme is signed in, who may read and write."""
    sign_in(visitor, site.key())
    return visitor


def sign_in(visitor: Watched, key: str) -> None:
    """Sign in as the form does, without its page, and open the jobs."""
    here = {"Sec-Fetch-Site": "same-origin"}
    visitor.page.request.post(f"{visitor.origin}/sign-in", form={"key": key}, headers=here, max_redirects=0)
    visitor.open("/")
    visitor.page.get_by_role("button", name="Sign out").wait_for()
