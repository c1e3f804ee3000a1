"""Who may look and who may act, below any browser: cookies, tokens, origins, headers, and what stays closed."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app import auth
from app.auth import Scope
from app.page import sessions
from app.page.assets import asset, assets
from app.page.guard import MAX_FIELDS
from app.page.rendering import environment
from app.page.throttle import SECONDS, TRIES, Throttle, TooManyTries
from app.record import db
from app.record.db import Database
from app.record.tables import PageSession
from tests.support.api_client import Api
from tests.support.page_visits import HERE, ORIGIN, enter, key_of, token_of


@pytest.fixture
def client(api: Api) -> Iterator[TestClient]:
    """A browser without any script, on the module's service; nobody is signed in."""
    client = api.client
    client.cookies.clear()
    client.app.state.sign_ins = Throttle()  # type: ignore[attr-defined]
    yield client
    client.cookies.clear()


def test_the_views_are_closed_to_whoever_is_not_signed_in(client: TestClient) -> None:
    answer = client.get("/?state=failed", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F%3Fstate%3Dfailed")


def test_the_api_takes_no_cookie(client: TestClient, api: Api) -> None:
    enter(client, key_of(api))
    assert client.get("/").status_code == 200
    assert client.get("/v1/jobs").status_code == 401


def test_the_page_takes_no_bearer_key(client: TestClient, api: Api) -> None:
    assert client.get("/", headers=api.headers, follow_redirects=False).status_code == 303


def test_the_cookie_does_not_hold_the_key(client: TestClient, api: Api) -> None:
    key = key_of(api)
    answer = enter(client, key)
    assert key.split("_")[2] not in answer.headers["set-cookie"]
    assert re.fullmatch(
        r"negmerge_session=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=strict", answer.headers["set-cookie"]
    )


def test_the_record_keeps_no_secret_of_a_session(client: TestClient, api: Api) -> None:
    enter(client, key_of(api))
    secret = client.cookies["negmerge_session"]
    with api.database.read() as session:
        assert secret not in str([row.__dict__ for row in session.scalars(select(PageSession))])


def test_behind_https_the_cookie_is_for_https_and_this_host_alone(client: TestClient, api: Api) -> None:
    told = enter(client, key_of(api), headers=HERE | {"Origin": "https://testserver"}).headers["set-cookie"]
    assert told.startswith("__Host-negmerge_session=")
    assert "; Secure" in told


def test_a_session_ends_with_its_time(client: TestClient, api: Api) -> None:
    enter(client, key_of(api))
    with api.database.write() as session:
        session.execute(update(PageSession).values(expires_at=db.now(session) - timedelta(seconds=1)))
    assert client.get("/", follow_redirects=False).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://evil.example/{ORIGIN}"},
    ],
)
def test_a_form_from_elsewhere_is_refused(client: TestClient, api: Api, headers: dict[str, str]) -> None:
    client.headers.pop("origin", None)
    answer = client.post("/sign-in", data={"key": key_of(api)}, headers=headers, follow_redirects=False)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_an_older_browser_is_known_by_the_origin_it_names(client: TestClient, api: Api) -> None:
    assert enter(client, key_of(api), headers={"Origin": ORIGIN}).status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_form_without_the_sessions_token_does_nothing(client: TestClient, api: Api, token: str) -> None:
    enter(client, key_of(api))
    answer = client.post("/sign-out", data={"token": token}, headers=HERE, follow_redirects=False)
    assert answer.status_code == 403
    assert client.get("/", follow_redirects=False).status_code == 200


def test_another_sessions_token_does_nothing(client: TestClient, api: Api) -> None:
    enter(client, key_of(api))
    other = token_of(client)
    enter(client, key_of(api))
    assert client.post("/sign-out", data={"token": other}, headers=HERE, follow_redirects=False).status_code == 403


def test_signing_out_ends_the_session_for_whoever_kept_the_cookie(client: TestClient, api: Api) -> None:
    enter(client, key_of(api, scopes=(Scope.READ,)))
    kept = client.cookies["negmerge_session"]
    left = client.post("/sign-out", data={"token": token_of(client)}, headers=HERE, follow_redirects=False)
    assert left.headers["location"] == "/sign-in"
    client.cookies.set("negmerge_session", kept)
    assert client.get("/", follow_redirects=False).status_code == 303


def test_a_key_that_may_not_read_sees_nothing(client: TestClient, api: Api) -> None:
    answer = enter(client, key_of(api, scopes=(Scope.WRITE,)))
    assert answer.status_code == 403
    assert "has no scope" in unescape(answer.text)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "place",
    ["//evil.example", "/\\evil.example", "https://evil.example", "", "jobs", "/a\\b", "/\tb", "/" + "x" * 2001],
)
def test_signing_in_leads_to_no_other_site(client: TestClient, api: Api, place: str) -> None:
    assert enter(client, key_of(api), place).headers["location"] == "/"


def test_signing_in_leads_to_where_the_visitor_wanted(client: TestClient, api: Api) -> None:
    assert enter(client, key_of(api), "/jobs/job_1?a=b").headers["location"] == "/jobs/job_1?a=b"


def test_many_failures_of_an_address_are_stopped_for_a_minute() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(TRIES):
        throttle.check("a")
        throttle.failed("a")
    with pytest.raises(TooManyTries):
        throttle.check("a")
    throttle.check("b")
    now[0] = SECONDS
    throttle.check("a")


def test_the_sign_in_page_says_that_there_were_too_many_tries(client: TestClient) -> None:
    answers = [enter(client, "nm_0_" + "0" * 64).status_code for _ in range(TRIES + 1)]
    assert answers == [401] * TRIES + [429]


def test_a_key_has_so_many_sessions_and_no_more(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_SESSIONS", 2)
    with sqlite_database.write() as session:
        key = auth.create_key(session, "somebody")[1]
    secrets = []
    for _ in range(3):
        with sqlite_database.write() as session:
            secrets.append(sessions.open_session(session, key, 60).secret)
    with sqlite_database.read() as session:
        let_in = [sessions.holder(session, secret) is not None for secret in secrets]
    assert let_in.count(True) == 2
    assert let_in[-1]


def test_a_form_that_is_too_large_is_refused_before_it_is_read_whole(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"key": "x" * 2**20}, headers=HERE)
    assert answer.status_code == 413


def test_a_form_of_more_fields_than_any_of_ours_is_refused(client: TestClient) -> None:
    answer = client.post("/sign-in", data={f"key{n}": "" for n in range(MAX_FIELDS + 1)}, headers=HERE)
    assert answer.status_code == 400


def test_every_answer_carries_the_strict_headers(client: TestClient) -> None:
    for path in ("/sign-in", asset("page.css"), "/assets/0/page.css"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_views_are_kept_nowhere_and_assets_for_ever(client: TestClient) -> None:
    assert client.get("/sign-in").headers["cache-control"] == "no-store"
    assert client.get(asset("page.css")).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get("/assets/0/page.css").headers["cache-control"] == "no-store"


def test_the_fingerprint_is_of_every_files_name_and_content() -> None:
    known = assets()
    assert set(known.files) >= {"page.css", "page.js", "htmx.min.js", "mark.svg"}
    assert re.fullmatch("[0-9a-f]{16}", known.fingerprint)


def test_no_template_has_a_script_or_a_style_of_its_own() -> None:
    made = environment()
    for name in made.list_templates():
        source = made.loader.get_source(made, name)[0]  # type: ignore[union-attr]
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|hx-on|javascript:", source), name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", source)), name
        assert "| safe" not in source, name
