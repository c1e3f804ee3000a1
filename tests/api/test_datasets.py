"""Data sets over HTTP: what gets a 201 can be used, what is wrong says so and leaves nothing behind."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from app.record.tables import Dataset, StoredObject
from app.settings import Settings
from app.store.folders import remove_stale
from tests.support.api_client import Api, assert_problem, digits_zip, png, pointers, serving, sha256, zipped
from tests.support.disks import files_of_at_most


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("datasets")
    roots = [folder / "shared"]
    roots[0].mkdir()
    (roots[0] / "faces.zip").write_bytes(digits_zip())
    settings = Settings(data_dir=folder, broker_url=broker_url, allowed_roots=roots, max_upload_bytes=100_000)
    with serving(settings) as served:
        yield served


def test_an_uploaded_archive_is_stored_indexed_and_described(both: Api) -> None:
    content = digits_zip(per_class=4)

    answer = both.upload_dataset(content, name="digits", class_names='{"one": "number one"}', templates='["a {}"]')

    assert answer.status_code == 201
    dataset = answer.json()
    assert answer.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert dataset["classes"] == {"one": 4, "seven": 4, "two": 4}
    assert dataset["samples"] == 12
    assert dataset["digest"] == f"sha256:{sha256(content)}"
    assert dataset["class_names"] == {"one": "number one"}
    assert both.get(answer.headers["location"]).json() == dataset
    with both.database.read() as session:
        row = session.get_one(Dataset, dataset["id"])
        assert row.key is not None
        assert row.index_key is not None
        assert both.store.read(row.key) == content
        assert len(json.loads(both.store.read(row.index_key))["samples"]) == 12


def test_the_parts_of_a_form_may_come_in_any_order(api: Api) -> None:
    parts = [("templates", (None, '["{}!"]')), ("file", ("d.zip", digits_zip())), ("name", (None, "later"))]

    answer = api.post("/v1/datasets", files=parts)

    assert answer.status_code == 201
    assert (answer.json()["name"], answer.json()["templates"]) == ("later", ["{}!"])


def with_broken_images() -> bytes:
    """Two classes with an image each that is cut off, and two that are whole."""
    return zipped({**{f"{name}/{n}.png": png(n) for name in "ab" for n in range(2)}, "a/x.jpg": b"", "b/y.avif": b"x"})


def test_images_that_cannot_be_read_are_all_named(api: Api) -> None:
    problem = assert_problem(api.upload_dataset(with_broken_images()), 422, "invalid-dataset")
    assert "'a/x.jpg' is empty" in problem["detail"]
    assert "'b/y.avif'" in problem["detail"]


def test_they_are_left_out_and_listed_where_that_is_asked_for(both: Api) -> None:
    answer = both.upload_dataset(with_broken_images(), on_unreadable="leave_out")
    assert (answer.status_code, answer.json()["left_out"]) == (201, ["a/x.jpg", "b/y.avif"])
    assert answer.json()["samples"] == 4
    assert both.get(answer.headers["location"]).json() == answer.json()


def test_what_becomes_of_them_is_one_of_two_words(api: Api) -> None:
    problem = assert_problem(api.upload_dataset(with_broken_images(), on_unreadable="ignore"), 422, "invalid-request")
    assert pointers(problem) == ["/on_unreadable"]


def test_the_file_name_is_the_name_where_none_is_given(api: Api) -> None:
    assert api.upload_dataset().json()["name"] == "digits.zip"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (digits_zip()[:-100], ""),
        (b"hello, world", ""),
        (zipped({"train/one/a.png": png(1), "val/one/b.png": png(2)}), "one class"),
        (zipped({"one/a.png": b"not an image", "two/b.png": png(1)}), "one/a.png"),
        (zipped({"../one/a.png": png(1), "two/b.png": png(1)}), ".."),
        (zipped({"one/a.png": png(1), "two/b.png": b"\0" * 30_000_000}, zipfile.ZIP_DEFLATED), "200 times"),
        (zipped({}), ""),
    ],
    ids=["cut off", "no archive", "one class", "no image", "climbs out", "inflates", "empty"],
)
def test_an_archive_that_cannot_be_a_data_set_leaves_nothing_behind(api: Api, content: bytes, word: str) -> None:
    before = stored(api)

    problem = assert_problem(api.upload_dataset(content), 422, "invalid-dataset")

    assert word in problem["detail"]
    assert pointers(problem) == ["/file"]
    assert stored(api) == before
    assert list((api.settings.data_dir / "uploads").iterdir()) == []


def test_an_upload_over_the_limit_is_413_and_leaves_nothing_behind(api: Api) -> None:
    before = stored(api)

    answer = api.upload_dataset(b"x" * 100_001)

    assert "NEGMERGE_MAX_UPLOAD_BYTES" in assert_problem(answer, 413, "too-large")["detail"]
    assert stored(api) == before
    assert list((api.settings.data_dir / "uploads").iterdir()) == []


def test_an_upload_of_unknown_length_is_cut_at_the_limit(api: Api) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    chunks = iter([head, *[b"x" * 10_000] * 11])

    answer = api.post("/v1/datasets", content=chunks, headers={"Content-Type": "multipart/form-data; boundary=b"})

    assert_problem(answer, 413, "too-large")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"--b\r\n", 400),
        (b"nonsense", 400),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf', 400),
        (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n', 422),
        (b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n', 422),
        (b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\r\n--b--\r\n', 422),
        (b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\n--b--\r\n", 400),
    ],
)
def test_a_broken_form_is_refused(api: Api, body: bytes, status: int) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    answer = api.post("/v1/datasets", content=body, headers=headers)

    assert_problem(answer, status, "malformed" if status == 400 else "invalid-request")


@pytest.mark.parametrize(
    ("name", "text", "pointer"),
    [
        ("class_names", "{", "/class_names"),
        ("class_names", '{"one": 1}', "/class_names/one"),
        ("class_names", '{"one": ""}', "/class_names/one"),
        ("templates", "[]", "/templates"),
        ("templates", '["no place"]', "/templates/0"),
        ("templates", '["{} and {}"]', "/templates/0"),
        ("templates", '["{0} {}"]', "/templates/0"),
        ("name", "x" * 201, "/name"),
    ],
)
def test_a_wrong_text_part_is_pointed_at(api: Api, name: str, text: str, pointer: str) -> None:
    problem = assert_problem(api.upload_dataset(None, **{name: text}), 422, "invalid-request")

    assert pointers(problem) == [pointer]


def test_words_for_a_class_that_is_not_there_are_refused(api: Api) -> None:
    answer = api.upload_dataset(class_names='{"eight": "the digit eight"}')

    assert "'eight'" in assert_problem(answer, 422, "invalid-dataset")["detail"]


def test_a_file_below_an_allowed_root_can_be_registered(api: Api) -> None:
    uri = f"file://{api.settings.allowed_roots[0]}/faces.zip"

    answer = api.post("/v1/datasets", json={"uri": uri})

    assert answer.status_code == 201
    assert (answer.json()["uri"], answer.json()["name"], answer.json()["samples"]) == (uri, "faces.zip", None)


@pytest.mark.parametrize(
    "uri",
    ["file:///etc/passwd", "http://127.0.0.1/x.zip", "https://example.org/x.zip", "s3://bucket/x", "/etc", "x"],
)
def test_a_uri_that_is_not_allowed_is_refused(api: Api, uri: str) -> None:
    problem = assert_problem(api.post("/v1/datasets", json={"uri": uri}), 422, "invalid-dataset")

    assert pointers(problem) == ["/uri"]


def test_the_list_is_paged_from_the_newest(both: Api) -> None:
    made = [both.dataset() for _ in range(3)]

    first = both.get("/v1/datasets?limit=2").json()
    second = both.get(f"/v1/datasets?limit=2&cursor={first['next_cursor']}").json()

    assert [row["id"] for row in first["data"] + second["data"]] == made[::-1]
    assert second["next_cursor"] is None


def test_another_tenants_data_set_is_404_and_not_listed(both: Api) -> None:
    dataset, other = both.dataset(), both.key(tenant="other")

    assert_problem(both.get(f"/v1/datasets/{dataset}", headers=other), 404, "not-found")
    assert_problem(both.request("DELETE", f"/v1/datasets/{dataset}", headers=other), 404, "not-found")
    assert both.get("/v1/datasets", headers=other).json()["data"] == []


def test_a_deleted_data_set_is_gone_and_its_objects_are_handed_over(both: Api) -> None:
    dataset = both.dataset()

    assert both.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert_problem(both.get(f"/v1/datasets/{dataset}"), 404, "not-found")
    with both.database.read() as session:
        assert set(session.scalars(select(StoredObject.kept))) == {False}


def test_a_data_set_that_a_job_needs_is_not_deleted_until_the_job_ends(both: Api) -> None:
    spec = both.spec()
    job = both.post("/v1/jobs", json=spec).json()["id"]
    dataset = f"/v1/datasets/{spec['forget']['dataset']}"

    assert job in assert_problem(both.delete(dataset), 409, "in-use")["detail"]
    both.post(f"/v1/jobs/{job}/cancel")
    assert both.delete(dataset).status_code == 204


def test_what_has_no_lock_is_removed_a_day_later(tmp_path: Path) -> None:
    for name, age in (("old", 90_000), ("new", 10)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"x")
        stamp = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (stamp, stamp))

    remove_stale(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["new"]


LOCKED = """
import fcntl, pathlib, sys, time
own = pathlib.Path(sys.argv[1])
own.mkdir()
lock = (own / "lock").open("xb")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_left_is_removed_at_once_and_what_a_living_one_has_stays(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", LOCKED, tmp_path / "own"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    remove_stale(tmp_path)
    assert (tmp_path / "own").exists()

    process.kill()
    process.communicate()
    remove_stale(tmp_path)
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("cursor", ["x", "job_0006447d7b1f2a3c5e8d90ab12", "ds_", "mdl_0006447d79f3a8b7c6d5e4f302"])
def test_a_cursor_of_another_list_is_refused(both: Api, cursor: str) -> None:
    assert_problem(both.get(f"/v1/datasets?cursor={cursor}"), 400, "malformed")
    if not cursor.startswith("mdl_"):
        assert_problem(both.get(f"/v1/models?cursor={cursor}"), 400, "malformed")


def stored(api: Api) -> list[str]:
    """Every key that the record knows of."""
    with api.database.read() as session:
        return list(session.scalars(select(StoredObject.key).order_by(StoredObject.key)))


def test_a_disk_that_is_full_while_an_upload_is_received_is_507_and_leaves_nothing(
    tmp_path: Path, broker_url: str
) -> None:
    with serving(Settings(data_dir=tmp_path, broker_url=broker_url)) as api:
        with files_of_at_most(2**20):
            problem = assert_problem(api.upload_dataset(bytes(3 * 2**20)), 507, "no-room")
        assert problem["detail"] == "the service's disk is full: try again when there is room"
        assert list((tmp_path / "uploads").iterdir()) == []
        assert api.upload_dataset(digits_zip()).status_code == 201
