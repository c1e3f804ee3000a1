"""Files over HTTP: whole, in ranges, not again when unchanged, and the unlearned folder as a zip."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checking
from hypothesis import strategies as st

from app.api.files import byte_range
from app.errors import RangeNotSatisfiable
from app.settings import Settings
from tests.support.api_client import Api, assert_problem, serving, sha256

WEIGHTS = bytes(range(256)) * 8
FILES = {
    "result.json": json.dumps({"method": "negmerge"}).encode(),
    "unlearned/open_clip_model.safetensors": WEIGHTS,
    "unlearned/open_clip_config.json": b'{"model_cfg": {}}',
    "merged/task_vector.safetensors": b"tau",
    "report.html": b"<p>",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[tuple[Api, str]]:
    """The application and the path of a job that succeeded."""
    with serving(Settings(data_dir=tmp_path_factory.mktemp("files"), broker_url=broker_url)) as served:
        yield served, f"/v1/jobs/{served.finished_job(FILES)}"


def test_every_file_is_listed_and_comes_back_with_its_digest(both: Api) -> None:
    job = both.finished_job(FILES)

    listed = both.get(f"/v1/jobs/{job}/artifacts").json()["data"]

    assert [file["path"] for file in listed] == sorted(FILES)
    for file in listed:
        answer = both.get(file["href"])
        assert answer.content == FILES[file["path"]]
        assert file["digest"] == f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        expected = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
        assert answer.headers["repr-digest"] == f"sha-256=:{expected}:"
        assert answer.headers["content-length"] == str(len(answer.content))


def test_weights_come_in_ranges_that_make_the_whole(both: Api) -> None:
    path = f"/v1/jobs/{both.finished_job(FILES)}/weights"
    cuts = [0, 1, 1000, len(WEIGHTS)]

    parts = [both.get(path, headers={"Range": f"bytes={a}-{b - 1}"}) for a, b in pairwise(cuts)]

    assert {part.status_code for part in parts} == {206}
    assert b"".join(part.content for part in parts) == WEIGHTS
    assert parts[1].headers["content-range"] == f"bytes 1-999/{len(WEIGHTS)}"
    assert len({part.headers["repr-digest"] for part in parts}) == 1  # of the whole file (RFC 9530)


def test_the_weights_have_the_digest_of_the_file(finished: tuple[Api, str]) -> None:
    api, job = finished

    answer = api.get(f"{job}/weights")

    assert answer.content == WEIGHTS
    assert answer.headers["etag"] == f'"{sha256(WEIGHTS)}"'


@pytest.mark.parametrize("tag", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_what_the_client_has_is_not_sent_again(finished: tuple[Api, str], tag: str) -> None:
    api, job = finished

    answer = api.get(f"{job}/weights", headers={"If-None-Match": tag.format(sha256(WEIGHTS))})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == f'"{sha256(WEIGHTS)}"'


def test_a_range_of_another_version_is_answered_with_the_whole_file(finished: tuple[Api, str]) -> None:
    api, job = finished

    answer = api.get(f"{job}/weights", headers={"Range": "bytes=0-9", "If-Range": '"another"'})

    assert (answer.status_code, answer.content) == (200, WEIGHTS)


def test_a_range_of_this_version_is_answered_with_the_part(finished: tuple[Api, str]) -> None:
    api, job = finished

    answer = api.get(f"{job}/weights", headers={"Range": "bytes=-5", "If-Range": f'"{sha256(WEIGHTS)}"'})

    assert (answer.status_code, answer.content) == (206, WEIGHTS[-5:])


def test_a_range_after_the_end_is_416_with_the_size(finished: tuple[Api, str]) -> None:
    api, job = finished

    answer = api.get(f"{job}/weights", headers={"Range": f"bytes={len(WEIGHTS)}-"})

    assert_problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(WEIGHTS)}"


def test_several_ranges_are_answered_with_the_whole_file(finished: tuple[Api, str]) -> None:
    api, job = finished

    assert api.get(f"{job}/weights", headers={"Range": "bytes=0-1,5-6"}).status_code == 200


def test_head_has_the_headers_of_get_and_no_body(finished: tuple[Api, str]) -> None:
    api, job = finished

    for path in ("/weights", "/result", "/artifacts/report.html"):
        head, get = api.request("HEAD", job + path), api.get(job + path)
        assert head.content == b""
        for name in ("etag", "content-length", "repr-digest", "content-type", "accept-ranges"):
            assert head.headers[name] == get.headers[name]


def test_the_result_is_the_artifact_to_the_byte(finished: tuple[Api, str]) -> None:
    api, job = finished

    answer = api.get(f"{job}/result")

    assert answer.content == FILES["result.json"]
    assert answer.headers["content-type"] == "application/json"


def test_the_zip_holds_the_unlearned_folder(both: Api) -> None:
    job = both.finished_job(FILES)

    answer = both.get(f"/v1/jobs/{job}/weights?format=zip")

    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found == {name.removeprefix("unlearned/"): FILES[name] for name in FILES if name.startswith("unl")}


@pytest.mark.parametrize("path", ["nothing", "unlearned", "../result.json", "%2e%2e/x", "a%00b", "unlearned/"])
def test_a_path_that_no_artifact_has_is_404(finished: tuple[Api, str], path: str) -> None:
    api, job = finished

    assert api.get(f"{job}/artifacts/{path}").status_code == 404


def test_an_unknown_format_of_weights_is_422(finished: tuple[Api, str]) -> None:
    api, job = finished

    assert_problem(api.get(f"{job}/weights?format=rar"), 422, "invalid-request")


def test_an_unfinished_job_has_no_files_yet(both: Api) -> None:
    job = both.job()

    assert both.get(f"/v1/jobs/{job}/artifacts").json() == {"data": [], "next_cursor": None}
    assert_problem(both.get(f"/v1/jobs/{job}/weights"), 409, "result-not-ready")
    assert_problem(both.get(f"/v1/jobs/{job}/result"), 409, "result-not-ready")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=2-99", (2, 10)),
        ("bytes= 2 - 3 ", (2, 4)),
        ("bytes=4-3", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("items=0-1", None),
    ],
)
def test_a_range_is_read_as_rfc_9110_says(header: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_a_range_without_any_byte_of_the_file_is_an_error(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        byte_range(header, 10)


@given(header=st.from_regex(r"bytes=\d{0,3}-\d{0,3}", fullmatch=True), size=st.integers(0, 500))
@checking(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_range_never_leaves_the_file(header: str, size: int) -> None:
    try:
        found = byte_range(header, size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found[0] < found[1] <= size


@pytest.mark.parametrize("tag", ['"{}"', "*", '"other", "{}"'])
def test_if_match_of_the_file_gives_it(api: Api, tag: str) -> None:
    job = f"/v1/jobs/{api.finished_job({'result.json': b'{}', 'unlearned/model.safetensors': WEIGHTS})}"
    assert api.get(f"{job}/weights", headers={"If-Match": tag.format(sha256(WEIGHTS))}).content == WEIGHTS


@pytest.mark.parametrize("tag", ['"other"', 'W/"{}"'])
def test_if_match_of_another_version_is_412(api: Api, tag: str) -> None:
    job = f"/v1/jobs/{api.finished_job({'result.json': b'{}', 'unlearned/model.safetensors': WEIGHTS})}"
    answer = api.get(f"{job}/weights", headers={"If-Match": tag.format(sha256(WEIGHTS))})
    assert_problem(answer, 412, "precondition-failed")
