"""Errors have one shape everywhere, and bad input of every kind gets one that says what is wrong."""

from collections.abc import Iterator

import pytest

from app.auth import Scope
from app.settings import Settings
from tests.support.api_client import Api, assert_problem, pointers, serving

JSON = {"Content-Type": "application/json"}
PRIVATE = [
    ("GET", "/v1/datasets"),
    ("POST", "/v1/datasets"),
    ("DELETE", "/v1/datasets/ds_1"),
    ("POST", "/v1/models"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/job_1/result"),
    ("GET", "/v1/jobs/job_1/weights"),
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("problems")
    with serving(Settings(data_dir=folder, broker_url=broker_url, max_body_bytes=2000)) as served:
        yield served


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_a_request_without_a_key_is_401(api: Api, method: str, path: str) -> None:
    answer = api.client.request(method, path)

    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer nm_1_x", "Basic bm1f", "Bearer nm_ab_" + "0" * 64, "Bearer nm_é_" + "0" * 64]
)
def test_a_key_that_is_not_ours_is_401(api: Api, value: str) -> None:
    assert_problem(api.get("/v1/jobs", headers={"Authorization": value.encode()}), 401, "unauthorized")


def test_a_key_with_another_secret_is_401(api: Api) -> None:
    changed = api.headers["Authorization"][:-4] + "0000"

    assert_problem(api.get("/v1/jobs", headers={"Authorization": changed}), 401, "unauthorized")


def test_a_reading_key_may_not_write(api: Api) -> None:
    reader = api.key(scopes=(Scope.READ,))

    assert api.get("/v1/jobs", headers=reader).status_code == 200
    assert_problem(api.post("/v1/jobs", headers=reader, json={}), 403, "forbidden")


def test_an_admin_key_may_all(api: Api) -> None:
    admin = api.key(scopes=(Scope.ADMIN,))

    assert api.get("/v1/jobs", headers=admin).status_code == 200
    assert_problem(api.post("/v1/jobs", headers=admin, json={}), 422, "invalid-spec")


@pytest.mark.parametrize("path", ["/v2", "/v1", "/v1/nothing", "/v1/jobs/", "/v1/jobs/job_1/nothing"])
def test_an_unknown_path_is_404(api: Api, path: str) -> None:
    assert_problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize("name", ["job_1", "nonsense", "a%00b", "ds_1;drop", "x" * 300])
@pytest.mark.parametrize("list_path", ["/v1/jobs", "/v1/datasets", "/v1/models"])
def test_an_unknown_id_is_404(api: Api, list_path: str, name: str) -> None:
    answer = api.get(f"{list_path}/{name}")

    assert answer.status_code == 404
    assert answer.json()["type"].endswith("not-found")


def test_a_method_that_a_path_does_not_take_is_405(api: Api) -> None:
    answer = api.request("PATCH", "/v1/jobs")

    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/datasets", "/v1/models"])
def test_another_content_type_is_415(api: Api, path: str, kind: str) -> None:
    answer = api.post(path, content=b"{}", headers={"Content-Type": kind})

    assert_problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "not JSON"),
        (b'{"sweep"', "not JSON"),
        (b"[]", "object"),
        (b'{"scale": NaN}', "NaN"),
        (b'{"scale": -Infinity}', "Infinity"),
        (b'{"scale": 1e999}', "too large"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "nested"),
        (b"[" * 1900, "nested"),
        (b'{"a": ' + b"9" * 1900 + b"]", "300 digits"),
    ],
)
def test_a_body_that_is_not_a_json_object_is_400(api: Api, body: bytes, word: str) -> None:
    problem = assert_problem(api.post("/v1/jobs", content=body, headers=JSON), 400, "malformed")

    assert word in problem["detail"]


def test_a_body_over_the_limit_is_413_and_names_the_setting(api: Api) -> None:
    answer = api.post("/v1/jobs", content=b'{"a": "' + b"x" * 2000 + b'"}', headers=JSON)

    assert "NEGMERGE_MAX_BODY_BYTES" in assert_problem(answer, 413, "too-large")["detail"]


def test_every_wrong_field_of_a_spec_is_pointed_at(api: Api) -> None:
    spec = {
        "base_model": {"family": "open_clip", "weights": "x"},
        "forget": {"dataset": "ds_1", "select": {"classes": []}},
        "retain": {"dataset": "ds_1"},
        "sweep": {"grid": {"learning_rate": [-1]}},
        "scale_search": {"keep": 1.5},
        "colour": "blue",
    }

    problem = assert_problem(api.post("/v1/jobs", json=spec), 422, "invalid-spec")

    wanted = {"/forget/select/classes", "/sweep/grid/learning_rate/0", "/scale_search/keep", "/colour"}
    assert set(pointers(problem)) == wanted


def test_the_shape_is_judged_before_the_references(api: Api) -> None:
    spec = {
        "base_model": {"family": "open_clip", "weights": "mdl_missing"},
        "forget": {"dataset": "ds_missing", "select": {"classes": ["a"]}},
        "retain": {"dataset": "ds_missing"},
        "sweep": {"grid": {}},
    }

    problem = assert_problem(api.post("/v1/jobs", json=spec), 422, "invalid-spec")

    assert {pointer.split("/")[1] for pointer in pointers(problem)} == {"sweep"}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "gzip, identity", "x"])
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/jobs", "application/json"),
        ("/v1/datasets", "application/json"),
        ("/v1/datasets", "multipart/form-data; boundary=x"),
        ("/v1/models", "application/json"),
        ("/v1/models", "multipart/form-data; boundary=x"),
    ],
)
def test_a_body_that_is_packed_for_the_way_is_415(api: Api, path: str, kind: str, encoding: str) -> None:
    answer = api.post(path, content=b"{}", headers={"Content-Type": kind, "Content-Encoding": encoding})

    problem = assert_problem(answer, 415, "unsupported-media-type")
    assert problem["detail"] == f"the body has 'Content-Encoding: {encoding.lower()}': send it as it is, without one"
    assert answer.headers["accept-encoding"] == "identity"


def test_a_body_that_is_said_to_be_as_it_is_is_read(api: Api) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "Identity"}
    assert_problem(api.post("/v1/jobs", content=b"{}", headers=headers), 422, "invalid-spec")


@pytest.mark.parametrize(
    "moment",
    [
        "0.5",
        "0",
        "1e9",
        "-1",
        "1700000000",
        "2026-11-25",
        "2026-11-25T09:30:00",
        "2026-11-25 09:30:00Z",
        "2026-11-25T09:30Z",
    ],
)
@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_a_moment_is_written_out_with_its_zone(api: Api, name: str, moment: str) -> None:
    problem = assert_problem(api.get(f"/v1/jobs?{name}={moment}"), 422, "invalid-request")

    assert problem["errors"][0]["pointer"].startswith(f"#query/{name}")
    assert "write it as RFC 3339 does" in problem["detail"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=1_0", "state=done", "created_after=yesterday"]
)
def test_a_wrong_query_parameter_is_422_and_named(api: Api, query: str) -> None:
    problem = assert_problem(api.get(f"/v1/jobs?{query}"), 422, "invalid-request")

    assert pointers(problem)[0].startswith(f"#query/{query.partition('=')[0]}")


@pytest.mark.parametrize("cursor", ["nothing", "%00", "a b", "'"])
def test_a_cursor_that_is_not_ours_is_400(api: Api, cursor: str) -> None:
    assert_problem(api.get(f"/v1/jobs?cursor={cursor}"), 400, "malformed")


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "caf\xe9"])
def test_a_wrong_idempotency_key_is_400(api: Api, key: str) -> None:
    headers = JSON | {"Idempotency-Key": key.encode("latin-1")}

    assert_problem(api.post("/v1/jobs", content=b"{}", headers=headers), 400, "malformed")


def test_an_error_of_ours_is_a_problem_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.client.app.state, "services", None)  # type: ignore[attr-defined]

    assert_problem(api.get("/readyz"), 500, "internal-error")
