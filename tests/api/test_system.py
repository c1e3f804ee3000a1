"""The process and its parts: alive, ready, measured, documented; light, and deaf to whoever has no key."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from app import errors
from app.api import system
from app.auth import Scope
from app.record import reopening
from app.settings import Settings
from negmerge.spec import job_resources, resources
from negmerge.spec.methods import METHOD_NAMES
from negmerge.spec.rivals import rival_names
from tests.support import records
from tests.support.api_client import Api, assert_problem, serving
from tests.support.listening import listening, wait_for

OPEN_PATHS = {"/healthz", "/readyz", "/metrics", "/v1/meta"}
LIGHT = """
import resource, sys
from app.main import create_app
from app.settings import Settings
create_app(Settings())
heavy = sorted({"torch", "torchvision", "open_clip", "numpy", "celery", "alembic", "sklearn"} & set(sys.modules))
print(heavy)
"""


@pytest.fixture(scope="module")
def document(api: Api) -> dict[str, Any]:
    """The OpenAPI document, as a client gets it."""
    found: dict[str, Any] = api.client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


@pytest.mark.slow
def test_the_api_loads_neither_torch_nor_numpy_nor_celery() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_health_needs_no_key_and_no_part(api: Api) -> None:
    assert api.client.get("/healthz").json() == {"status": "ok"}


def test_meta_says_what_is_served_and_how_much(api: Api) -> None:
    meta = api.client.get("/v1/meta").json()

    assert meta["methods"] == [*METHOD_NAMES, *rival_names()]
    assert meta["limits"]["max_points"] == 1023


def test_ready_names_every_part(both: Api) -> None:
    with both.database.write() as session:
        reopening.seen(session, records.make_worker())

    answer = both.client.get("/readyz")

    assert answer.status_code == 200
    parts = {"database": "ok", "store": "ok", "broker": "ok", "disk": "ok", "workers": "1"}
    assert answer.json() == {"ready": True, "parts": parts}


def test_a_disk_without_room_for_more_files_is_not_ready(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_MIN_FILES", 2**62)
    assert api.client.get("/readyz").json()["parts"]["disk"] == "not ready: NoRoom"


def test_a_store_whose_folder_is_gone_is_not_ready(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with serving(settings) as api:
        (tmp_path / "store").rename(tmp_path / "away")
        answer = api.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["disk"] == "not ready: FileNotFoundError"


def test_a_disk_without_room_is_not_ready(tmp_path: Path, broker_url: str) -> None:
    with serving(Settings(data_dir=tmp_path, broker_url=broker_url, min_free_bytes=2**62)) as api:
        answer = api.client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["disk"] == "not ready: NoRoom"


def test_only_with_sqlite_a_worker_belongs_to_what_must_be_ready(both: Api) -> None:
    answer = both.client.get("/readyz")

    assert answer.status_code == (503 if both.database.dialect == "sqlite" else 200)
    assert answer.json()["parts"]["workers"] == "0"


@pytest.mark.slow
def test_a_missing_broker_is_not_ready_and_jobs_are_taken_all_the_same(tmp_path: Path) -> None:
    with serving(Settings(data_dir=tmp_path)) as served:
        assert served.client.get("/readyz").json()["parts"]["broker"] == "not ready: Unavailable"
        assert served.post("/v1/jobs", json=served.spec()).status_code == 202


def admin(api: Api) -> dict[str, str]:
    return api.key(scopes=(Scope.ADMIN,))


def test_metrics_count_requests_by_route_and_jobs_by_state(api: Api) -> None:
    records.make_job(api.database)
    api.get("/v1/jobs/job_1")

    text = api.get("/metrics", headers=admin(api)).text

    assert 'negmerge_http_requests_total{method="GET",route="/v1/jobs/{id}",status="404"}' in text
    assert re.search(r'negmerge_jobs\{state="queued"\} [1-9]', text)
    assert "negmerge_workers 0.0" in text


def test_metrics_keep_nothing_that_a_client_invents(api: Api) -> None:
    key = admin(api)

    def series() -> set[str]:
        return {line.rpartition(" ")[0] for line in api.get("/metrics", headers=key).text.splitlines()}

    for method in ("BREW", "WHEN"):
        api.client.request(method, "/metrics")
        api.client.request(method, f"/{method}")
    before = series()
    assert 'negmerge_http_requests_total{method="other",route="none",status="404"}' in before
    for number in range(20):
        api.client.request(f"BREW{number}", "/metrics", headers={"Host": f"h{number}", "User-Agent": f"a{number}"})
        api.client.request(f"BREW{number}", f"/{number}")
    assert series() == before


def test_metrics_from_elsewhere_need_a_key(api: Api) -> None:
    """One of scope admin: jobs of all tenants are counted."""
    assert_problem(api.client.get("/metrics"), 401, "unauthorized")  # this client's address is no loopback
    assert_problem(api.get("/metrics"), 403, "forbidden")
    assert api.get("/metrics", headers=admin(api)).status_code == 200


OF_PROXIES = [
    *("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded", "X-Real-IP", "Forwarded", "Via", "CF-Connecting-IP"),
    *("X-Original-URI", "X-Amzn-Trace-Id", "X-Azure-ClientIP", "Fly-Client-IP", "Client-IP", "X-Remote-Addr"),
    *("X-Request-Id", "CDN-Loop", "DO-Connecting-IP", "X-ProxyUser-Ip", "Max-Forwards"),
]


@pytest.mark.parametrize("header", OF_PROXIES)
def test_what_comes_through_a_proxy_on_this_machine_comes_from_elsewhere(api: Api, header: str) -> None:
    local = TestClient(api.client.app, "http://127.0.0.1:8000", client=("127.0.0.1", 50_000))
    assert local.get("/metrics").status_code == 200
    assert_problem(local.get("/metrics", headers={header: "127.0.0.1"}), 401, "unauthorized")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:80"])
def test_this_machine_calls_itself_by_its_own_names(api: Api, host: str) -> None:
    local = TestClient(api.client.app, client=("127.0.0.1", 50_000))
    assert local.get("/metrics", headers={"Host": host}).status_code == 200
    assert_problem(local.get("/metrics", headers={"Host": "negmerge.example.org"}), 401, "unauthorized")


def test_a_head_request_is_counted_by_its_route(api: Api) -> None:
    api.client.head("/healthz")
    text = api.get("/metrics", headers=admin(api)).text
    assert 'negmerge_http_requests_total{method="HEAD",route="/healthz",status="200"}' in text


def test_head_is_answered_wherever_get_is(api: Api, document: dict[str, Any]) -> None:
    paths = [path for path, item in document["paths"].items() if "get" in item and "{" not in path]
    assert len(paths) > 5
    for path in [*paths, f"/v1/jobs/{records.make_job(api.database)}"]:
        assert api.client.head(path, headers=api.headers).status_code == api.get(path).status_code, path
    assert all("head" not in item for item in document["paths"].values())


def test_every_route_is_documented_and_needs_a_key(api: Api, document: dict[str, Any]) -> None:
    assert document["paths"].keys() > OPEN_PATHS
    for method, path, operation in operations(document):
        assert operation["summary"], path
        assert operation["description"], path
        answer = api.client.request(method, re.sub(r"\{.*?\}", "x", path))
        if path in OPEN_PATHS:
            assert answer.status_code != 404, path
        else:
            assert_problem(answer, 401, "unauthorized")
            assert operation["security"], path
            assert {"401", "403", "422"} <= operation["responses"].keys(), path


def test_every_answer_has_a_schema_and_every_schema_an_example(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            for media, content in answer.get("content", {}).items():
                if media == "application/json":
                    assert content["schema"], (path, status)
                if status[0] in "45" and status != "503":
                    assert media == "application/problem+json", (path, status)
    for name in ("Dataset", "Model", "Job", "DryRun", "Point", "Event", "Artifact", "Result", "Meta", "Problem"):
        assert document["components"]["schemas"][name]["example"], name


def test_every_reference_in_the_openapi_document_leads_somewhere(document: dict[str, Any]) -> None:
    wanted = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))

    assert "Problem" in wanted
    assert wanted <= document["components"]["schemas"].keys()


def test_every_error_of_the_service_is_a_named_kind() -> None:
    kinds = errors.every()

    assert len({kind.type for kind in kinds}) == len(kinds)
    assert errors.NotFound in kinds
    assert all(400 <= kind.status < 600 and kind.title for kind in kinds)


def test_an_upload_without_a_key_is_refused_before_its_body_is_sent(served_port: int) -> None:
    head = (
        b"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n"
    )

    with closing(socket.create_connection(("127.0.0.1", served_port), 10)) as connection:
        connection.sendall(head)
        answer = connection.recv(65536)

    assert answer.startswith(b"HTTP/1.1 401")


def test_metrics_are_open_on_this_machine(served_port: int) -> None:
    answer = exchange(served_port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200")
    assert b"negmerge_workers" in answer


def test_metrics_through_a_proxy_on_this_machine_need_a_key(served_port: int) -> None:
    head = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close\r\n\r\n"

    assert exchange(served_port, head).startswith(b"HTTP/1.1 401")


def test_a_client_that_goes_away_in_an_upload_leaves_nothing_behind(
    served_port: int, api: Api, served_folder: Path
) -> None:
    key = api.headers["Authorization"].encode()
    head = (
        b"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 1000000\r\nAuthorization: " + key + b"\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf of it'
    )

    with closing(socket.create_connection(("127.0.0.1", served_port), 10)) as connection:
        connection.sendall(head)
        wait_for(lambda: any(served_folder.glob("uploads/*")))

    wait_for(lambda: not any(served_folder.glob("uploads/*")))


@pytest.fixture(scope="module")
def served_folder(api: Api) -> Path:
    """The data folder of the application under uvicorn."""
    return api.settings.data_dir


@pytest.fixture(scope="module")
def served_port(api: Api) -> Iterator[int]:
    """The port of a real uvicorn with the application."""
    with listening(api.settings) as port:
        yield port


def exchange(port: int, request: bytes) -> bytes:
    """All that the server answers until it closes the connection."""
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def with_examples() -> list[type[BaseModel]]:
    """Every schema of what goes out that has an example."""
    rooms = (resources, job_resources)
    found = [one for room in rooms for one in vars(room).values() if isinstance(one, type)]
    ours = {room.__name__ for room in rooms}
    models = [one for one in found if issubclass(one, BaseModel) and one.__module__ in ours]
    whole = [one for one in models if not one.__pydantic_generic_metadata__["parameters"]]
    return [one for one in whole if "example" in one.model_json_schema()]


@pytest.mark.parametrize("resource", with_examples(), ids=lambda one: str(one.__name__))
def test_an_example_is_what_it_is_an_example_of(resource: type[BaseModel]) -> None:
    resource.model_validate(resource.model_json_schema()["example"])
