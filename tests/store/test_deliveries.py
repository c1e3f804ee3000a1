"""Where results may be delivered to, and files delivered to a real S3 server."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings
from app.store.deliveries import PROBE, Destination
from app.store.objects import ObjectMissing, Store
from negmerge.errors import DataError, PublishError
from negmerge.progress import ignore
from tests.support import servers

PLACE = "s3://results/unlearned?region=eu-west-1"


def settings(tmp_path: Path, *places: str) -> Settings:
    return Settings(data_dir=tmp_path, deliver_to=list(places))


@pytest.mark.parametrize(
    ("uri", "prefix"),
    [
        ("s3://results/unlearned", "."),
        ("s3://results/unlearned/", "."),
        ("s3://results/unlearned/team/a%20b", "team/a b"),
    ],
)
def test_a_place_below_an_allowed_one_is_taken(tmp_path: Path, uri: str, prefix: str) -> None:
    destination = Destination.of(uri, settings(tmp_path, "s3://other/x", PLACE))
    assert (destination.store_url, str(destination.prefix)) == (PLACE, prefix)


def test_a_whole_bucket_may_be_allowed(tmp_path: Path) -> None:
    assert str(Destination.of("s3://results/deep/er", settings(tmp_path, "s3://results")).prefix) == "deep/er"


def test_no_place_is_allowed_by_itself(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NEGMERGE_DELIVER_TO"):
        Destination.of("s3://results/unlearned", settings(tmp_path))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://results",
        "s3://results/unlearnedtoo",
        "s3://results/unlearned/../other",
        "s3://results/unlearned/%2e%2e/other",
        "s3://results/unlearned//a",
        "s3://results/./unlearned",
        "s3://other/unlearned",
        "gs://results/unlearned",
        "file:///results/unlearned",
        "s3://results/unlearned?endpoint=http://evil.example",
        "s3://results/unlearned#x",
        "s3://me:secret@results/unlearned",
        "s3://results:80/unlearned",
        "s3://results/unlearned/a%00",
        "s3://results/unlearned/%ff",
        "s3:results/unlearned",
        "s3://[/unlearned",
    ],
)
def test_a_place_that_is_not_below_it_or_might_be_read_as_another_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(DataError):
        Destination.of(uri, settings(tmp_path, PLACE))


@pytest.mark.parametrize(
    "place", ["results", "file:///x", "s3://", "s3://me:secret@results", "s3://results?key=secret"]
)
def test_a_setting_that_is_no_bucket_or_holds_a_secret_is_refused(tmp_path: Path, place: str) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, place)


@pytest.fixture
def allowed(s3: servers.S3) -> str:
    """An allowed place with nothing in it."""
    return servers.new_prefix(s3)


@pytest.mark.server
def test_files_lie_below_the_place_and_the_jobs_id(tmp_path: Path, allowed: str) -> None:
    (tmp_path / "unlearned").mkdir()
    for name in ("result.json", "report.html", "unlearned/model.safetensors", "not.asked"):
        (tmp_path / name).write_text(f"the {name}")
    uri = f"{allowed.partition('?')[0]}/team"
    names = ["result.json", "report.html", "unlearned/model.safetensors"]
    for _ in range(2):  # again is the same
        Destination.of(uri, settings(tmp_path, allowed)).deliver("job_1", tmp_path, names, ignore)
    there = Store.open(allowed)
    for name in names:
        assert there.read(f"team/job_1/{name}").decode() == f"the {name}"
    with pytest.raises(ObjectMissing):
        there.head("team/job_1/not.asked")


@pytest.mark.server
def test_the_result_comes_last(tmp_path: Path, allowed: str) -> None:
    for name in ("result.json", "unlearned.safetensors"):
        (tmp_path / name).touch()
    destination = Destination.of(allowed.partition("?")[0], settings(tmp_path, allowed))
    there = Store.open(allowed)
    names = ["result.json", "unlearned.safetensors", "vanished"]
    with pytest.raises(FileNotFoundError):
        destination.deliver("job_1", tmp_path, names, ignore)
    put = [name for name in names if name != "vanished" and _is_there(there, f"job_1/{name}")]
    assert put == ["unlearned.safetensors"]


def _is_there(store: Store, key: str) -> bool:
    try:
        store.head(key)
    except ObjectMissing:
        return False
    return True


@pytest.mark.server
def test_a_probe_leaves_one_empty_object(tmp_path: Path, allowed: str) -> None:
    Destination.of(allowed.partition("?")[0], settings(tmp_path, allowed)).probe()
    assert Store.open(allowed).head(PROBE) == 0


@pytest.mark.server
def test_credentials_that_may_not_write_are_told_and_not_shown(
    tmp_path: Path, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = Destination.of(allowed.partition("?")[0], settings(tmp_path, allowed))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(PublishError, match="own credentials may not write") as refused:
        destination.probe()
    assert "another-secret" not in str(refused.value)
