"""What the development code imports is declared by name, and does not come along with something else by chance."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from tests.support.deployment import ROOT

pytestmark = pytest.mark.slow

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = {"app", "benchmarks", "demo", "experiments", "negmerge", "tests", "tooling", "worker"}


def plain(requirement: str) -> str:
    """The name of a distribution, as PEP 503 writes it: ``psycopg[binary]>=3.2`` is ``psycopg``."""
    [name] = re.findall(r"^[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name).lower()


LISTS = [
    PROJECT["project"]["dependencies"],
    *PROJECT["project"]["optional-dependencies"].values(),
    *PROJECT["dependency-groups"].values(),
]
DECLARED = {plain(line) for lines in LISTS for line in lines}


@cache
def distributions() -> dict[str, set[str]]:
    """Top-level module → the distributions that bring it."""
    return {module: {*map(plain, names)} for module, names in packages_distributions().items()}


def imported(folder: str) -> set[str]:
    """The top-level modules of others that the folder's files import, anywhere in them."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - OURS - sys.stdlib_module_names


def test_imports_are_seen() -> None:
    assert imported("tests") >= {"numpy", "pytest", "sqlalchemy", "torch", "yaml"}


@pytest.mark.parametrize("folder", ["tests", "demo", "benchmarks", "experiments", "tooling"])
def test_every_import_of_the_development_code_is_declared(folder: str) -> None:
    assert [name for name in sorted(imported(folder)) if not distributions().get(name, set()) & DECLARED] == []
