"""The broker and the store, started for real as the compose file starts them: closed to who has no password."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import BaseError, PermissionDeniedError
from obstore.store import S3Store
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

from app.embedded import valkey
from app.store.objects import Store
from tests.support import stored
from tests.support.deployment import ROOT, services, tool

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return services()


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not ready():
        assert process.poll() is None, "the server ended"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def broker(stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The socket and the process id of a broker with the compose file's command and deploy/valkey.conf."""
    folder = tmp_path_factory.mktemp("broker")
    path = folder / "broker.sock"
    config = folder / "valkey.conf"
    config.write_text(
        (ROOT / "deploy/valkey.conf").read_text().replace("dir /data", f"dir {folder}") + f"port 0\nunixsocket {path}\n"
    )
    shell, option, script = stack["broker"]["command"]
    assert (shell, option) == ("sh", "-c")
    script = script.replace("$$", "$").replace("/etc/valkey.conf", str(config))
    process = subprocess.Popen(
        [shell, option, script.replace("valkey-server", str(valkey.carried()))],
        env={"PATH": os.environ["PATH"], **stack["broker"]["environment"]},
        stdout=subprocess.DEVNULL,
    )
    wait_for(path.exists, process)
    yield path, process.pid
    process.terminate()
    assert process.wait() == 0


def test_the_broker_lets_in_who_has_the_password(broker: tuple[Path, int]) -> None:
    with Redis(unix_socket_path=str(broker[0]), password="9b") as client:
        assert client.ping()


@pytest.mark.parametrize("password", [None, "wrong"])
def test_the_broker_lets_nobody_else_in(broker: tuple[Path, int], password: str | None) -> None:
    once = Retry(NoBackoff(), 0)
    client = Redis(unix_socket_path=str(broker[0]), password=password, retry=once)
    with client, pytest.raises(AuthenticationError):
        client.ping()


def test_the_brokers_password_is_in_no_process_list(broker: tuple[Path, int]) -> None:
    command = Path(f"/proc/{broker[1]}/cmdline").read_bytes()
    assert b"valkey" in command
    assert b"9b" not in command


def test_the_broker_keeps_its_data_and_evicts_nothing(broker: tuple[Path, int]) -> None:
    with Redis(unix_socket_path=str(broker[0]), password="9b", decode_responses=True) as client:
        settings = {name: client.config_get(name)[name] for name in ("appendonly", "maxmemory", "maxmemory-policy")}
    assert settings == {"appendonly": "yes", "maxmemory": str(256 * 2**20), "maxmemory-policy": "noeviction"}


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [int(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return ports


@pytest.fixture(scope="module")
def store(stack: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The ports of a store that runs with the compose file's command, in a folder of its own."""
    names = ("s3", "master", "volume", "filer")
    ports = free_ports(2 * len(names))
    asked = dict(zip(names, ports, strict=False))
    asked |= {f"{name}.grpc": port for name, port in zip(names, ports[len(names) :], strict=True)}
    command = [word for word in stack["store"]["command"] if not word.startswith(("-dir=", "-s3.port="))]
    flags = [f"-{name.split('.')[0]}.port{'.grpc' * name.endswith('.grpc')}={port}" for name, port in asked.items()]
    process = subprocess.Popen(
        [tool("weed"), *command, f"-dir={tmp_path_factory.mktemp('store')}", *flags],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **stack["store"]["environment"]},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def ready() -> bool:
        try:
            obstore.put(bucket(asked["s3"], access_key_id="9c", secret_access_key="9d"), "ready", b"")
        except (BaseError, OSError):
            return False
        return True

    wait_for(ready, process)
    yield asked
    process.kill()
    process.wait()


def bucket(port: int, host: str = "127.0.0.1", **credentials: Any) -> S3Store:
    return S3Store(
        "negmerge",
        endpoint=f"http://{host}:{port}",
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
        **credentials,
    )


def test_the_store_makes_the_bucket_and_keeps_what_is_put(store: dict[str, int]) -> None:
    ours = bucket(store["s3"], access_key_id="9c", secret_access_key="9d")
    obstore.put(ours, "jobs/1/result.json", b"{}")
    assert bytes(obstore.get(ours, "jobs/1/result.json").bytes()) == b"{}"


def test_the_compose_files_store_url_reaches_it(
    stack: dict[str, Any], store: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = stack["worker"]["environment"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, environment[name])
    ours = Store.open(environment["NEGMERGE_STORE_URL"].replace("store:8333", f"127.0.0.1:{store['s3']}"))
    stored.put(ours, "by-url", b"weights")
    assert ours.read("by-url") == b"weights"


@pytest.mark.parametrize(
    "credentials", [{"skip_signature": True}, {"access_key_id": "9c", "secret_access_key": "wrong"}]
)
def test_the_store_shows_nothing_to_anyone_else(store: dict[str, int], credentials: dict[str, Any]) -> None:
    with pytest.raises(PermissionDeniedError):
        obstore.get(bucket(store["s3"], **credentials), "ready")


def connects(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


@pytest.mark.parametrize("part", ["master", "volume", "filer", "master.grpc", "volume.grpc", "filer.grpc"])
def test_the_stores_other_parts_listen_on_the_loopback_address_alone(store: dict[str, int], part: str) -> None:
    # They ask no password. 127.0.0.2 is this machine too, but not the address that they were bound to.
    assert (connects("127.0.0.1", store[part]), connects("127.0.0.2", store[part])) == (True, False)


def test_the_stores_s3_is_reached_on_every_address(store: dict[str, int]) -> None:
    assert connects("127.0.0.2", store["s3"])
