"""What the deployment's tests share: the repository's files as data, and the compose binary's own answer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PASSWORDS = {
    "POSTGRES_PASSWORD": "9a",
    "BROKER_PASSWORD": "9b",
    "STORE_ACCESS_KEY": "9c",
    "STORE_SECRET_KEY": "9d",
}


def tool(name: str) -> Path:
    """A command that a development package brings, beside this interpreter."""
    return Path(sys.executable).with_name(name)


def compose(*arguments: str, variables: dict[str, str] = PASSWORDS) -> subprocess.CompletedProcess[str]:
    """Run the compose binary on the repository's file with these variables and no others."""
    return subprocess.run(
        [tool("docker-compose"), "--env-file", "/dev/null", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def services(*files: str) -> dict[str, Any]:
    """Every service of every profile, as compose resolves it."""
    chosen = [word for file in files for word in ("--file", file)]
    done = compose(*chosen, "--profile", "*", "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, each with its arguments on one line."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if line.strip() and not line.startswith("#"))
    parts = [line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines()]
    return [(word, rest) for word, rest in parts]


def arguments_of(word: str, target: str | None = None) -> list[str]:
    """The arguments of each instruction of that name: in the whole file, or in one image's stages."""
    chosen = instructions() if target is None else instructions_of(target)
    return [rest for name, rest in chosen if name == word]


def instructions_of(target: str) -> list[tuple[str, str]]:
    """The instructions that make one image, in order: those of its stage after those of the stages below it."""
    stages: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            below, _, name = rest.split()
            stages[name] = list(stages.get(below, []))
        elif stages:
            stages[name].append((word, rest))
    return stages[target]


def image_environment(target: str) -> dict[str, str]:
    """What one image sets with ENV."""
    return {
        name: value for words in arguments_of("ENV", target) for name, value in [p.split("=", 1) for p in words.split()]
    }


def locked(name: str) -> dict[str, list[str]]:
    """Each requirement of a lock file (``name==version``, with a marker where it has one) and its hashes."""
    text = (ROOT / "requirements" / name).read_text()
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement, *hashes = line.split("--hash=")
            found[requirement.strip()] = [digest.strip() for digest in hashes]
    return found


def distributions(name: str) -> set[str]:
    """The names of the distributions that a lock file pins."""
    return {requirement.split("==")[0].split("[")[0] for requirement in locked(name)}
