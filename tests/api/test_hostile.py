"""What an attacker sends: each gets a problem, never a 500, and nothing is kept that breaks a later answer."""

import io
import json
import struct
import tarfile
import zipfile

import pytest

from app.record import reopening, steps
from negmerge.formats.strict_json import MAX_VALUES
from negmerge.spec.result import PointOutcome
from tests.support import records
from tests.support.api_client import CONFIG, Api, assert_problem, digits_zip, pointers, weights, zipped

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
FILES = {CONFIG_NAME: json.dumps(CONFIG).encode(), WEIGHTS_NAME: weights()}


def config_with(value: str) -> str:
    """The config with one more entry of ``model_cfg``, as it would stand in JSON."""
    return json.dumps(CONFIG).replace('"embed_dim"', f'"extra": {value}, "embed_dim"', 1)


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> bytes:
    """A tar of a good model's folder, and then of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for header, content in [*((member(name, len(content)), content) for name, content in FILES.items()), *members]:
            archive.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.type, header.linkname = size, kind, target
    return header


def sparse_tar() -> bytes:
    """A tar of two kilobytes whose weights claim to be 20 GiB, nearly all of it a hole (GNU, old format)."""
    header = bytearray(member(WEIGHTS_NAME, 512, tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    size = b"\x80" + (20 * 2**30).to_bytes(11, "big")
    header[386:398], header[398:410], header[483:495] = size, b"%011o\0" % 512, size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    text = FILES[CONFIG_NAME]
    return member(CONFIG_NAME, len(text)).tobuf() + text + bytes(-len(text) % 512) + bytes(header) + bytes(3 * 512)


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("NaN", "NaN"),
        ("1e999", "too large"),
        ('"\\ud800"', "surrogate"),
        ('"\\u0000"', "NUL"),
        ("[" * 800 + "]" * 800, "nested"),
        ("9" * 4000, "digits"),
        ('{"a": 1, "a": 2}', "twice"),
    ],
    ids=["nan", "infinity", "surrogate", "nul", "deep", "long number", "twice"],
)
def test_a_config_that_no_answer_could_carry_is_refused(both: Api, value: str, word: str) -> None:
    problem = assert_problem(both.upload_model(config=config_with(value)), 422, "invalid-model")

    assert word in problem["detail"]
    assert both.get("/v1/models").json()["data"] == []


def test_a_model_without_its_projection_is_refused(api: Api) -> None:
    content = weights(lambda tensors: tensors.pop("visual.proj"))

    assert "embed_dim" in assert_problem(api.upload_model(content), 422, "invalid-model")["detail"]


def test_a_refusal_does_not_tell_where_uploads_lie(api: Api) -> None:
    problem = assert_problem(api.upload_model(struct.pack("<Q", 2**40) + b"{"), 422, "invalid-model")

    assert str(api.settings.data_dir) not in problem["detail"]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (tarred((member(CONFIG_NAME, kind=tarfile.LNKTYPE, target="nowhere"), b"")), "link"),
        (tarred((member(CONFIG_NAME, kind=tarfile.SYMTYPE, target="/etc/passwd"), b"")), "link"),
        (tarred((member(WEIGHTS_NAME, kind=tarfile.CHRTYPE), b"")), "device"),
        (sparse_tar(), "sparse"),
        (tarred((member("junk", 2**25), bytes(2**25)), mode="w:gz"), "200 times"),
        (tarred(mode="w:xz"), "packed by xz"),
        (zipped({f"../{name}": content for name, content in FILES.items()}), "climbs out"),
        (zipped(FILES).replace(FILES[WEIGHTS_NAME][-8:], b"otherend"), f"'{WEIGHTS_NAME}' is damaged"),
        (zipped(FILES | {WEIGHTS_NAME: bytes(2**25)}, zipfile.ZIP_DEFLATED), "200 times"),
        (zipped(FILES | {CONFIG_NAME: b" " * (2**20 + 1)}), f"{CONFIG_NAME} has more than 1048576 bytes"),
        (zipped(FILES | {f".hidden/{CONFIG_NAME}": b"{}"}), "2 files"),
    ],
    ids=[
        "hard link",
        "link",
        "device",
        "sparse",
        "bomb",
        "xz",
        "climbs",
        "damaged weights",
        "zip bomb",
        "vast config",
        "second config, hidden",
    ],
)
def test_an_archive_of_a_model_that_no_honest_tool_writes_is_refused(api: Api, content: bytes, word: str) -> None:
    problem = assert_problem(api.post("/v1/models", files={"file": ("model", content)}), 422, "invalid-model")

    assert word in problem["detail"]
    assert list((api.settings.data_dir / "uploads").iterdir()) == []


def test_a_file_name_in_any_script_is_kept_and_what_cannot_be_seen_in_it_is_escaped(api: Api) -> None:
    for name, kept in (("データ.zip", "データ.zip"), ("café.zip", "café.zip"), ("\u202ex.zip", "\\u202ex.zip")):
        answer = api.post("/v1/datasets", files={"file": (name, digits_zip())})

        assert (answer.status_code, answer.json()["name"]) == (201, kept)


@pytest.mark.parametrize("text", ["\u202egnp.exe", "a\u200bb", "line\nbreak", "\x1b[31m"])
def test_a_name_that_cannot_be_seen_is_refused_wherever_it_comes_in(api: Api, text: str) -> None:
    document = {"uri": "https://data.example.org/a.zip"}
    for part, value in (("name", text), ("class_names", {"a": text}), ("templates", [f"{text} {{}}"])):
        answer = api.post("/v1/datasets", json=document | {part: value})
        assert answer.json()["errors"][0]["pointer"].startswith(f"/{part}")
        assert "cannot be seen" in answer.json()["errors"][0]["detail"]
    files = {"file": ("m", b"x"), "name": (None, text)}
    assert api.post("/v1/models", files=files).json()["errors"][0]["pointer"] == "/name"


def test_a_file_name_that_is_no_text_is_no_error(api: Api) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xff\xed\xa0\x80"\r\n\r\n'
    body = head + digits_zip() + b"\r\n--b--\r\n"

    answer = api.post("/v1/datasets", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    assert answer.status_code == 201


@pytest.mark.parametrize("name", ["a%00b", "job_x%00", "job_x%0a", "job_" + "a" * 37, "x" * 5000, "..%2f..%2fetc"])
def test_an_id_that_no_database_could_be_asked_for_is_404(both: Api, name: str) -> None:
    for path in (f"/v1/jobs/{name}", f"/v1/datasets/{name}", f"/v1/models/{name}", f"/v1/jobs/{name}/points"):
        assert both.get(path).status_code == 404
    assert both.request("DELETE", f"/v1/jobs/{name}").status_code == 404
    assert both.get(f"/v1/jobs/{records.make_job(both.database)}/artifacts/{name}").status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "created_after=0001-01-01T00:00:00%2B23:59",
        "created_before=9999-12-31T23:59:59-23:59",
        "&".join(f"metadata.k{n}=1" for n in range(2000)),
    ],
    ids=["before year 1", "after year 9999", "2000 filters"],
)
def test_a_filter_that_no_database_could_apply_is_422(both: Api, query: str) -> None:
    assert_problem(both.get(f"/v1/jobs?{query}"), 422, "invalid-request")


def test_a_problem_tells_of_the_first_hundred_wrong_fields(api: Api) -> None:
    problem = assert_problem(api.post("/v1/jobs", json={f"x{n}": "y" for n in range(5000)}), 422, "invalid-spec")

    assert len(problem["errors"]) == 100
    assert len(problem["detail"]) < 5000


def test_json_of_more_than_can_be_judged_is_refused_as_a_body_and_as_a_part(api: Api) -> None:
    text, told = json.dumps([0] * MAX_VALUES), f"JSON may have {MAX_VALUES} values"

    body = api.post("/v1/jobs", content=text.encode(), headers={"Content-Type": "application/json"})
    assert told in assert_problem(body, 400, "malformed")["detail"]

    part = assert_problem(api.upload_dataset(digits_zip(), templates=text), 422, "invalid-request")
    assert pointers(part) == ["/templates"]
    assert told in part["detail"]


def test_a_key_that_is_there_twice_is_named_among_very_many(api: Api) -> None:
    body = "{" + ",".join(f'"{n}":0' for n in range(30_000)) + ',"29999":0}'

    answer = api.post("/v1/jobs", content=body.encode(), headers={"Content-Type": "application/json"})

    assert "'29999'" in assert_problem(answer, 400, "malformed")["detail"]


@pytest.mark.parametrize("rest", ["%00", "a" * 300, "loop", ""])
def test_a_path_that_no_file_can_have_is_refused(api: Api, rest: str) -> None:
    loop = api.settings.data_dir / "loop"
    if not loop.is_symlink():
        loop.symlink_to(loop)
    prefix = "file:" if not rest else "file://"  # file:/x is how a registry tag might look

    for path in ("/v1/datasets", "/v1/models"):
        answer = api.post(path, json={"uri": f"{prefix}{api.settings.data_dir}/{rest}"})
        assert pointers(assert_problem(answer, 422, f"invalid-{path[4:-1]}")) == ["/uri"]


def test_a_point_does_not_tell_where_its_task_vector_lies(both: Api) -> None:
    job = records.make_tuning_job(both.database, keep_task_vectors=True)
    held = records.claim(both.database, records.make_worker())
    with both.database.write() as session:
        key = records.register(session, held, "task_vector.safetensors")
        vector = steps.KeptVector(key, 8, "0" * 64)
        steps.finish_point(session, held, PointOutcome(loss=0.5, rank=(0, 1.0)), vector)

    for name in ("points", "events"):
        text = both.get(f"/v1/jobs/{job}/{name}").text
        assert key not in text
        assert held.token not in text


def test_progress_counts_the_workers_that_could_go_on(both: Api) -> None:
    job = both.job()
    assert both.get(f"/v1/jobs/{job}").json()["progress"]["workers"] == 0

    with both.database.write() as session:
        reopening.seen(session, records.make_worker())

    assert both.get(f"/v1/jobs/{job}").json()["progress"]["workers"] == 1
