"""Interpreters that find only some of the packages that are installed here, as if they were in another environment."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.support.deployment import ROOT


def normalised(name: str) -> str:
    """A distribution's name as lock files write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(*extras: str) -> list[str]:
    """What pyproject.toml asks for: the base, and these extras as they are written there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines: list[str] = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return lines


def closure(lines: list[str]) -> set[str]:
    """The names of all distributions that are installed here for these requirements, and for theirs in turn."""
    todo = [(Requirement(line), "") for line in lines]
    done: set[tuple[str, str]] = set()
    while todo:
        requirement, wanted = todo.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": wanted}):
            continue
        for extra in ("", *requirement.extras):
            if (pair := (normalised(requirement.name), extra)) not in done:
                done.add(pair)
                todo += [(Requirement(line), extra) for line in metadata.requires(requirement.name) or ()]
    return {name for name, _ in done}


def link(names: set[str], folder: Path) -> Path:
    """Fill a folder with links to what these distributions installed here, and to nothing else."""
    for distribution in metadata.distributions():
        if normalised(distribution.metadata["Name"]) in names:
            for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
                if not (folder / top).exists():
                    (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder


def run_in(site: str, script: str, folder: Path) -> str:
    """Run a script in a fresh interpreter that finds packages in ``site`` alone; what it prints."""
    done = _run(site, ["-c", script], folder, {})
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_module(site: str, words: Sequence[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m …`` in such an interpreter, with variables of its own."""
    return _run(site, ["-m", *words], folder, environment)


def _run(
    site: str, arguments: Sequence[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": site} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
