"""Objects of stores by URI: which are allowed, and what of them is fetched, from a real S3 server."""

from pathlib import Path

import obstore
import pytest
from pydantic import ValidationError

from app.intake import uris
from app.settings import Settings
from app.store.objects import open_s3
from negmerge.errors import DataError
from tests.support.servers import S3, free_port

BUCKET = "s3://data/in"


def settings(tmp_path: Path, *places: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", allowed_buckets=list(places))


@pytest.mark.parametrize("uri", ["s3://data/in/a.zip", "s3://data/in/deep/er.zip", "s3://data/in/a%20b.zip"])
def test_a_uri_below_an_allowed_place_is_allowed(tmp_path: Path, uri: str) -> None:
    uris.check(uri, settings(tmp_path, "gs://other", BUCKET))


def test_no_place_is_allowed_by_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NEGMERGE_ALLOWED_BUCKETS"):
        uris.check("s3://data/in/a.zip", settings(tmp_path))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://data/a.zip",
        "s3://data/inside/a.zip",
        "s3://data/in/../a.zip",
        "s3://data/in/%2e%2e/a.zip",
        "s3://data/in/./a.zip",
        "s3://data/in//a.zip",
        "s3://data/in/",
        "s3://data",
        "s3://other/in/a.zip",
        "gs://data/in/a.zip",
        "s3://data/in/a.zip?endpoint=http://evil.example",
        "s3://data/in/a.zip#x",
        "s3://user@data/in/a.zip",
        "s3://data:80/in/a.zip",
        "s3://data/in/a%00.zip",
        "s3://data/in/a%0a.zip",
        "s3://data/in/%ff.zip",
        "S3://data/../in/a.zip",
        "s3:data/in/a.zip",
    ],
)
def test_a_uri_that_is_not_below_it_or_might_be_read_as_another_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(DataError):
        uris.check(uri, settings(tmp_path, BUCKET))


@pytest.mark.parametrize(
    "place", ["https://a.example/b", "s3://", "s3://user@b/c", "s3://b?token=x", "gs://b?region=x", "b"]
)
def test_a_place_that_is_none_is_refused_at_the_start(tmp_path: Path, place: str) -> None:
    with pytest.raises(ValidationError, match="allowed_buckets"):
        settings(tmp_path, place)


@pytest.fixture
def place(s3: S3) -> str:
    """The server's bucket as an allowed place, with an object of a thousand bytes and one beside it."""
    start, _, query = s3.url.partition("?")
    store = open_s3(start.removeprefix("s3://"), "", query)
    obstore.put(store, "in/a b.zip", bytes(range(250)) * 4)
    obstore.put(store, "secret/a.zip", b"secret")
    return f"{start}/in?{query}"


def uri(place: str, key: str) -> str:
    return f"{place.partition('/in?')[0]}/{key}"


@pytest.mark.server
@pytest.mark.slow
def test_an_object_comes_whole_with_its_bytes_counted(tmp_path: Path, place: str) -> None:
    seen: list[tuple[int, int]] = []
    target = tmp_path / "a.zip"
    given = settings(tmp_path, place)
    uris.fetch(uri(place, "in/a%20b.zip"), target, given, 1000, lambda done, total, loss: seen.append((done, total)))
    assert target.read_bytes() == bytes(range(250)) * 4
    assert seen[-1] == (1000, 1000)


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("in/a%20b.zip", "has 1000 bytes; at most 999 are taken"),
        ("in/missing.zip", "there is no object"),
        ("secret/a.zip", "NEGMERGE_ALLOWED_BUCKETS"),
    ],
)
def test_what_cannot_be_had_is_said_and_leaves_nothing(tmp_path: Path, place: str, key: str, word: str) -> None:
    with pytest.raises(DataError, match=word):
        uris.fetch(uri(place, key), tmp_path / "a.zip", settings(tmp_path, place), 999)
    assert list(tmp_path.glob("a.zip*")) == []


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    given = settings(tmp_path, f"s3://data/in?endpoint=http://127.0.0.1:{free_port()}")
    with pytest.raises(DataError, match="the store does not answer"):
        uris.fetch("s3://data/in/a.zip", tmp_path / "a.zip", given, 999)
