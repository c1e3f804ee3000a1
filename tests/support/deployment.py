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


def arguments_of(word: str) -> list[str]:
    """The arguments of each instruction of that name."""
    return [rest for name, rest in instructions() if name == word]


def image_environment() -> dict[str, str]:
    """What the final stage sets with ENV."""
    last = arguments_of("ENV")[-1]
    return dict(pair.split("=", 1) for pair in last.split())
