"""Downloads from a real server that cuts, lies and changes its mind: what is there in the end is whole and right."""

import base64
import hashlib
import io
import re
import zipfile
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from negmerge.client import DownloadError, Unreachable, WrongDigest
from negmerge.client.downloads import check_members, inside
from tests.support.disks import files_of_at_most
from tests.support.faulty import Answer, Faulty, faulty, give

CONTENT = bytes(range(256)) * 40
"""What the server has: 10,240 bytes."""


def tags(content: bytes) -> dict[str, str]:
    """The headers of a stored file, as the service sends them."""
    digest = hashlib.sha256(content)
    told = base64.b64encode(digest.digest()).decode()
    return {"etag": f'"{digest.hexdigest()}"', "repr_digest": f"sha-256=:{told}:", "accept_ranges": "bytes"}


def stored(content: bytes, *, until: int | None = None, told: bytes | None = None) -> Answer:
    """A stored file: whole, or the range that was asked for, sent as far as byte ``until``; described as ``told``."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        headers = tags(content if told is None else told)
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("range", ""))
        begin = int(asked[1]) if asked and handler.headers["if-range"] == headers["etag"] else 0
        handler.send_response(206 if begin else 200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if begin:
            handler.send_header("content-range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        handler.send_header("content-length", str(len(content) - begin))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content[begin:until])
            handler.close_connection = until is not None

    return answer


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "config")


def test_a_file_is_there_whole_under_its_own_name(server: Faulty, tmp_path: Path) -> None:
    server.will(stored(CONTENT), stored(CONTENT))
    with server.client() as client:
        assert client.jobs.download("job_1", "report.html", tmp_path) == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_bytes() == CONTENT
    assert left(tmp_path) == ["report.html"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(CONTENT) - 1), max_size=3))
def test_wherever_it_is_cut_each_byte_comes_once(cuts: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each try goes on where the one before stood, so those that get no further count as failures, three at most."""
    target = tmp_path_factory.mktemp("cut") / "file"
    with faulty() as server:
        server.will(stored(CONTENT), *(stored(CONTENT, until=cut) for cut in cuts), stored(CONTENT))
        with server.client() as client:
            client.jobs.download("job_1", "file", target)
    assert target.read_bytes() == CONTENT
    begins = [asked.headers.get("range", "bytes=0-") for asked in server.asked[1:]]
    stood = [max([0, *cuts[:tries]]) for tries in range(len(begins))]
    assert begins == [f"bytes={begin}-" for begin in stood]


def test_a_later_call_goes_on_where_an_earlier_one_was_given_up(server: Faulty, tmp_path: Path) -> None:
    server.will(stored(CONTENT), *[stored(CONTENT, until=100)] * 5)
    with server.client() as client:
        with pytest.raises(Unreachable, match="cut off"):
            client.jobs.download("job_1", "file", tmp_path / "file")
        assert not (tmp_path / "file").exists()
        server.will(stored(CONTENT), stored(CONTENT))
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert server.asked[-1].headers["range"] == "bytes=100-"
    assert server.asked[-1].headers["if-range"] == tags(CONTENT)["etag"]
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert left(tmp_path) == ["file"]


def test_bytes_that_are_not_those_of_the_digest_leave_nothing(server: Faulty, tmp_path: Path) -> None:
    other = b"x" + CONTENT[1:]
    server.will(stored(CONTENT), stored(other, told=CONTENT))
    with server.client() as client, pytest.raises(WrongDigest, match="was not kept"):
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert left(tmp_path) == []


def test_a_part_that_somebody_changed_is_found_out(server: Faulty, tmp_path: Path) -> None:
    server.will(stored(CONTENT), *[stored(CONTENT, until=100)] * 5)
    with server.client() as client:
        with pytest.raises(Unreachable):
            client.jobs.download("job_1", "file", tmp_path / "file")
        [part] = tmp_path.glob(".file.*.part")
        part.write_bytes(bytes(100))
        server.will(stored(CONTENT), stored(CONTENT))
        with pytest.raises(WrongDigest):
            client.jobs.download("job_1", "file", tmp_path / "file")
    assert left(tmp_path) == []


def test_of_a_file_that_changed_meanwhile_no_old_byte_is_kept(server: Faulty, tmp_path: Path) -> None:
    """Another entity tag is another file: what came of the old one is not gone on with."""
    other = bytes(reversed(CONTENT))
    server.will(stored(CONTENT), *[stored(CONTENT, until=100)] * 5)
    with server.client() as client:
        with pytest.raises(Unreachable):
            client.jobs.download("job_1", "file", tmp_path / "file")
        server.will(stored(other), stored(other))
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert "range" not in server.asked[-1].headers
    assert (tmp_path / "file").read_bytes() == other


def test_a_file_that_changes_between_two_tries_is_not_put_together_of_both(server: Faulty, tmp_path: Path) -> None:
    """The service answers If-Range with the whole new file, which is not the one that was begun with."""
    other = bytes(reversed(CONTENT))
    server.will(stored(CONTENT), stored(CONTENT, until=100), stored(other))
    with server.client() as client, pytest.raises(WrongDigest):
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert left(tmp_path) == []


def test_a_full_disk_leaves_what_came_for_the_next_call(server: Faulty, tmp_path: Path) -> None:
    server.will(stored(CONTENT), stored(CONTENT), stored(CONTENT), stored(CONTENT))
    with server.client() as client:
        with files_of_at_most(4096), pytest.raises(OSError):
            client.jobs.download("job_1", "file", tmp_path / "file")
        assert not (tmp_path / "file").exists()
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert server.asked[-1].headers["range"] == "bytes=4096-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_is_asked_from_the_beginning(server: Faulty, tmp_path: Path) -> None:
    whole = give(200, CONTENT, **{name: value for name, value in tags(CONTENT).items() if name != "accept_ranges"})
    server.will(stored(CONTENT), stored(CONTENT, until=100), whole)
    with server.client() as client:
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_more_bytes_than_were_told_are_not_taken(server: Faulty, tmp_path: Path) -> None:
    server.will(stored(CONTENT), give(200, CONTENT * 2, **tags(CONTENT)))
    with server.client() as client, pytest.raises(WrongDigest):
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert left(tmp_path) == []


def test_what_is_there_already_is_not_fetched_again(server: Faulty, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    server.will(stored(CONTENT))
    with server.client() as client:
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert [asked.method for asked in server.asked] == ["HEAD"]


def test_another_file_in_its_place_is_kept_unless_it_may_be_replaced(server: Faulty, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    server.will(stored(CONTENT), stored(CONTENT), stored(CONTENT))
    with server.client() as client:
        with pytest.raises(DownloadError, match="exists"):
            client.jobs.download("job_1", "file", tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == b"mine"
        client.jobs.download("job_1", "file", tmp_path / "file", overwrite=True)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_link_in_its_place_is_never_written_through(server: Faulty, tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    server.will(stored(CONTENT))
    with server.client() as client, pytest.raises(DownloadError, match="exists"):
        client.jobs.download("job_1", "file", tmp_path / "file", overwrite=True)
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_in_the_place_of_its_part_is_refused(server: Faulty, tmp_path: Path) -> None:
    mark = hashlib.sha256(tags(CONTENT)["etag"].encode()).hexdigest()[:16]
    (tmp_path / f".file.{mark}.part").symlink_to(tmp_path / "elsewhere")
    server.will(stored(CONTENT), stored(CONTENT))
    with server.client() as client, pytest.raises(DownloadError, match="cannot be written"):
        client.jobs.download("job_1", "file", tmp_path / "file")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_named(server: Faulty, tmp_path: Path) -> None:
    server.will(stored(CONTENT))
    with server.client() as client, pytest.raises(DownloadError, match="no folder"):
        client.jobs.download("job_1", "file", tmp_path / "nowhere" / "file")


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "a/../../x", "a//b", "", ".", "a\\b", "a\0b", "a\nb", "unlearned/.."]
)
def test_an_artifact_with_a_path_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DownloadError, match="no path below a folder"):
        inside(tmp_path, path)


def test_an_artifact_in_a_folder_lies_there(tmp_path: Path) -> None:
    assert inside(tmp_path, "unlearned/model.safetensors") == tmp_path / "unlearned" / "model.safetensors"


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [zipped({"a": b"other"}), zipped({"a": b"1", "b": b"2"}), zipped({}), b"no zip"],
    ids=["other bytes", "one more", "none", "no zip"],
)
def test_a_zip_that_does_not_hold_the_artifacts_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "z").write_bytes(content)
    check = check_members({"a": f"sha256:{hashlib.sha256(b'1').hexdigest()}"})
    with pytest.raises(WrongDigest):
        check(tmp_path / "z")


def test_a_zip_that_holds_them_is_taken(tmp_path: Path) -> None:
    (tmp_path / "z").write_bytes(zipped({"a": b"1"}))
    check_members({"a": f"sha256:{hashlib.sha256(b'1').hexdigest()}"})(tmp_path / "z")
