"""Data sets and models that are registered on the page: what is taken, and what is told beside the field at fault."""

import re
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.auth import Scope
from app.page.catalogue import addresses
from app.record.tables import Dataset, Model
from app.settings import Settings
from tests.support.api_client import Api, digits_zip
from tests.support.page_visits import HERE, enter, key_of, token_of

pytestmark = pytest.mark.slow

TAG = {"architecture": "ViT-B-32", "weights": "openai"}


@pytest.fixture(scope="module")
def archive(api: Api) -> Path:
    """One below the folder that the service may read."""
    path = api.settings.data_dir / "digits.zip"
    path.write_bytes(digits_zip())
    return path


def register(client: TestClient, kind: str, fields: dict[str, str]) -> Response:
    given = {"token": token_of(client)} | fields
    return client.post(f"/{kind}/register", data=given, headers=HERE, follow_redirects=False)


def test_a_data_set_is_registered_by_its_address(client: TestClient, api: Api, archive: Path) -> None:
    answer = register(client, "datasets", {"uri": f" {archive.as_uri()} ", "name": "", "on_unreadable": "leave_out"})
    assert answer.status_code == 303
    found = api.get(f"/v1{answer.headers['location']}").json()
    assert (found["uri"], found["name"], found["on_unreadable"]) == (archive.as_uri(), "digits.zip", "leave_out")
    assert archive.as_uri() in client.get(answer.headers["location"]).text


def test_a_model_is_registered_by_a_registrys_tag(client: TestClient, api: Api) -> None:
    answer = register(client, "models", TAG | {"family": "open_clip", "uri": "", "name": "CLIP"})
    found = api.get(f"/v1{answer.headers['location']}").json()
    asked = TAG | {"family": "open_clip", "name": "CLIP"}
    assert {name: found[name] for name in asked} == asked


@pytest.mark.parametrize(
    ("kind", "fields", "at", "told"),
    [
        ("datasets", {}, "uri", "or upload an archive"),
        ("datasets", {"uri": "https://data.example.org/a.zip"}, "uri", "NEGMERGE_ALLOWED_HOSTS"),
        ("datasets", {"uri": "file:///etc/passwd"}, "uri", "NEGMERGE_ALLOWED_ROOTS"),
        ("datasets", {"uri": "s3://bucket/a.zip"}, "uri", "NEGMERGE_ALLOWED_BUCKETS"),
        ("datasets", {"uri": "\x00"}, "uri", ""),
        ("datasets", {"uri": "x" * 2001}, "uri", "2000"),
        ("datasets", {"uri": "file:///a", "name": "a\u202eb"}, "name", "cannot be seen"),
        ("models", {"uri": "hf-hub:a/b@" + "0" * 40}, "uri", "NEGMERGE_HUB_ENDPOINT"),
        ("models", {"weights": "openai"}, "architecture", "needs a built-in architecture"),
        ("models", TAG | {"architecture": "ViT-B-99"}, "architecture", "ViT-B-99"),
        ("models", TAG | {"weights": "closedai"}, "weights", "closedai"),
        ("models", TAG | {"uri": "file:///a"}, "", "exactly one of uri and weights"),
        ("models", TAG | {"family": "other"}, "family", "open_clip"),
    ],
)
def test_what_is_refused_is_told_beside_its_field_and_stays_to_be_mended(
    client: TestClient, kind: str, fields: dict[str, str], at: str, told: str
) -> None:
    answer = register(client, kind, fields)
    assert answer.status_code == 422
    text = answer.text
    [said] = re.findall(rf'id="wrong-{at}">(.*?)</p>' if at else r'role="alert">(.*?)</p>', text)
    assert told in unescape(said)
    for name in fields.keys() & {"uri", "architecture", "weights"}:
        [value] = re.findall(rf'name="{name}" value="(.*?)"', text)
        assert unescape(value) == fields[name]


def test_a_key_that_may_only_read_registers_nothing(client: TestClient, api: Api, archive: Path) -> None:
    enter(client, key_of(api, scopes=(Scope.READ,)))
    assert register(client, "datasets", {"uri": archive.as_uri()}).status_code == 403
    assert 'id="register"' not in client.get("/datasets").text


def test_nothing_is_registered_without_the_sessions_token(client: TestClient, archive: Path) -> None:
    assert register(client, "datasets", {"uri": archive.as_uri(), "token": "0" * 64}).status_code == 403


def test_the_form_says_which_addresses_are_taken() -> None:
    settings = Settings(
        allowed_hosts=["a.example"],
        allowed_roots=[Path("/data")],
        allowed_buckets=["s3://a/b", "s3://c", "gs://d"],
        hub_endpoint="https://hub.example",
    )
    assert addresses(settings, Dataset) == ["https://", "gs://", "s3://", "file:///"]
    assert addresses(settings, Model)[-1] == "hf-hub:OWNER/NAME@COMMIT"
    assert addresses(Settings(), Model) == []
