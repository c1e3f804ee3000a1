"""The Helm chart, rendered by helm itself: Kubernetes takes what it gives, and it runs what the compose file runs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from sqlalchemy import text

from app.record.db import Database
from app.settings import Settings
from tests.support import records

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/negmerge"
HELM = Path(sys.executable).with_name("helm")
NEEDED = {"existingSecret": "negmerge", "storeUrl": "s3://negmerge?endpoint=http://s3.example&region=us-east-1"}
EVERYTHING = NEEDED | {
    "keda": {"enabled": True, "maxReplicas": 4},
    "api": {
        "trustedProxies": "10.0.0.0/8",
        "ingress": {"enabled": True, "host": "unlearn.example", "tlsSecret": "tls", "className": "nginx"},
    },
    "settings": {"NEGMERGE_ALLOWED_HOSTS": '["data.example"]'},
    "secretEnvironment": {"GOOGLE_SERVICE_ACCOUNT_KEY": {"name": "google", "key": "json"}},
    "worker": {"nodeSelector": {"gpu": "h100"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]},
    "imagePullSecrets": [{"name": "registry"}],
}


def helm(*arguments: str, values: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    command = [str(HELM), *arguments, str(CHART), "--values", str(file)]
    home = {name: str(folder / name) for name in ("HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME")}
    return subprocess.run(command, env=home, capture_output=True, text=True, check=False, timeout=60)


def rendered(values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    done = helm("template", "unlearn", values=values, folder=folder)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(kind: str, objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pods by their one container's name."""
    specs = [one["spec"]["template"]["spec"] for one in objects if one["kind"] in ("Deployment", "Job")]
    return {spec["containers"][0]["name"]: spec for spec in specs}


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["least", "everything"])
def test_helm_has_nothing_to_complain_of(values: dict[str, Any], tmp_path: Path) -> None:
    done = helm("lint", "--strict", values=values, folder=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "0 chart(s) failed" in done.stdout


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["least", "everything"])
@pytest.mark.parametrize("version", ["1.27", "1.34"])
def test_kubernetes_takes_every_object(values: dict[str, Any], version: str, tmp_path: Path) -> None:
    objects = rendered(values, tmp_path)
    for one in objects:
        if not one["apiVersion"].startswith("keda.sh/"):  # a resource of its own: KEDA's, not Kubernetes'
            kubernetes_validate.validate(one, version, strict=True)
    assert {"Deployment", "Service", "Job"} <= {one["kind"] for one in objects}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "existingSecret"),
        (NEEDED | {"storeUrl": "file:///data"}, "storeUrl"),
        (NEEDED | {"wroker": {}}, "wroker"),
        (NEEDED | {"settings": {"ALLOWED_HOSTS": "[]"}}, "ALLOWED_HOSTS"),
        (NEEDED | {"settings": {"NEGMERGE_ALOWED_HOSTS": "[]"}}, "NEGMERGE_ALOWED_HOSTS"),
        (NEEDED | {"settings": {"NEGMERGE_DATABASE_URL": "sqlite:///here"}}, "NEGMERGE_DATABASE_URL"),
        (NEEDED | {"secretEnvironment": {"PATH": {"name": "a", "key": "b"}}}, "PATH"),
        (NEEDED | {"queue": "'; DROP TABLE jobs; --"}, "queue"),
        (NEEDED | {"api": {"ingress": {"enabled": True}}}, "host"),
    ],
    ids=[
        "nothing",
        "a folder",
        "a typing error",
        "no setting",
        "a setting mistyped",
        "a setting of its own",
        "no credential",
        "a quote",
        "no host",
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any], told: str, tmp_path: Path) -> None:
    done = helm("template", "unlearn", values=values, folder=tmp_path)
    assert done.returncode != 0
    assert told in done.stderr


def test_it_runs_the_commands_of_the_compose_file(tmp_path: Path) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    own = {name: spec["containers"][0]["command"] for name, spec in pods(rendered(NEEDED, tmp_path)).items()}
    assert own == {name: services[name]["command"] for name in ("api", "worker", "migrate")}


def test_no_container_has_more_rights_than_it_needs(tmp_path: Path) -> None:
    for spec in pods(rendered(EVERYTHING, tmp_path)).values():
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_every_variable_is_a_setting_and_every_secret_comes_from_the_secret(tmp_path: Path) -> None:
    known = {f"NEGMERGE_{name.upper()}" for name in Settings.model_fields} | {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "FORWARDED_ALLOW_IPS",
    }
    for spec in pods(rendered(EVERYTHING, tmp_path)).values():
        variables = {one["name"]: one for one in spec["containers"][0]["env"]}
        assert variables.keys() <= known
        for name in ("NEGMERGE_DATABASE_URL", "NEGMERGE_BROKER_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert variables[name]["valueFrom"]["secretKeyRef"]["name"] == "negmerge"


@pytest.mark.parametrize("command", ["lint", "template"])
def test_the_guides_values_and_commands_are_right(command: str, tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/kubernetes.md").read_text()
    [values] = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [line] = re.findall(rf"^helm ({command} .+)$", page, re.MULTILINE)
    (tmp_path / "my-values.yaml").write_text(values)
    words = [str(ROOT / word) if word.startswith("deploy/") else word for word in line.split()]
    done = subprocess.run([str(HELM), *words], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_may_be_given_but_those_that_the_chart_gives_itself() -> None:
    """What the chart's own values say, and what the images say."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]
    own = {"database_url", "broker_url", "store_url", "queue", "device", "threads"}
    own |= {"precision", "workers_per_device"}
    own |= {"data_dir", "host", "port"}
    assert schema["propertyNames"]["enum"] == [
        f"NEGMERGE_{name.upper()}" for name in Settings.model_fields if name not in own
    ]


def test_a_credential_of_another_store_comes_from_its_secret(tmp_path: Path) -> None:
    for name in ("api", "worker"):
        variables = pods(rendered(EVERYTHING, tmp_path))[name]["containers"][0]["env"]
        [found] = [one for one in variables if one["name"] == "GOOGLE_SERVICE_ACCOUNT_KEY"]
        assert found["valueFrom"]["secretKeyRef"] == {"name": "google", "key": "json"}


@pytest.mark.parametrize(("values", "believed"), [(NEEDED, []), (EVERYTHING, ["10.0.0.0/8"])], ids=["none", "one"])
def test_a_proxy_is_believed_where_it_is_named(values: dict[str, Any], believed: list[str], tmp_path: Path) -> None:
    variables = pods(rendered(values, tmp_path))["api"]["containers"][0]["env"]
    assert [one["value"] for one in variables if one["name"] == "FORWARDED_ALLOW_IPS"] == believed


def test_a_worker_on_cuda_asks_for_one_gpu_and_one_on_the_cpu_for_none(tmp_path: Path) -> None:
    limits = {
        device: pods(rendered(NEEDED | {"worker": {"device": device}}, tmp_path))["worker"]["containers"][0][
            "resources"
        ]["limits"]
        for device in ("cuda", "cpu")
    }
    assert limits["cuda"].get("nvidia.com/gpu") == 1
    assert "nvidia.com/gpu" not in limits["cpu"]


def test_the_schema_is_brought_up_before_anything_else_starts(tmp_path: Path) -> None:
    [migrate] = of_kind("Job", rendered(NEEDED, tmp_path)).values()
    assert migrate["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"


def test_keda_and_a_fixed_number_do_not_quarrel(tmp_path: Path) -> None:
    deployments = of_kind("Deployment", rendered(EVERYTHING, tmp_path))
    assert "replicas" not in deployments["unlearn-negmerge-worker"]["spec"]
    scaled = of_kind("ScaledObject", rendered(EVERYTHING, tmp_path))["unlearn-negmerge-worker"]
    assert scaled["spec"]["scaleTargetRef"]["name"] in deployments


@pytest.mark.server
def test_keda_counts_the_steps_that_wait_or_run(database: Database, tmp_path: Path) -> None:
    """A job of three points: 1 while it prepares, 3 while it tunes, 2 once one is folded, 1 to conclude, then none."""
    objects = rendered(EVERYTHING, tmp_path)
    [trigger] = of_kind("ScaledObject", objects)["unlearn-negmerge-worker"]["spec"]["triggers"]

    def waiting() -> int:
        with database.read() as session:
            return int(session.execute(text(trigger["metadata"]["query"])).scalar_one())

    counted = [waiting()]
    job_id = records.make_job(database, points=3)
    records.make_job(database, queue="others")
    worker = records.make_worker()
    counted.append(waiting())
    records.finish_prepare(database, records.claim(database, worker))
    counted.append(waiting())
    first = records.claim(database, worker)
    records.train(database, first)
    records.flush(database, [first], "partial")
    counted.append(waiting())
    records.fold(database, worker)
    counted.append(waiting())
    records.conclude(database, records.claim(database, worker))
    counted.append(waiting())
    assert counted == [0, 1, 3, 2, 1, 0], job_id
