"""A client that openapi-python-client makes of a service's own description, as somebody else would make it."""

import json
import subprocess
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, Self

PACKAGE = "made_of_openapi"


def generate(document: dict[str, Any], folder: Path) -> None:
    """Write the client as a package into a folder. Whatever the generator warns of fails the test."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "config.yml").write_text("post_hooks: []\n")
    program = Path(sys.executable).with_name("openapi-python-client")
    options = {"--path": "openapi.json", "--config": "config.yml", "--output-path": PACKAGE, "--meta": "none"}
    told = [part for option in options.items() for part in option]
    command = [str(program), "generate", "--fail-on-warning", *told]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warning" not in said.lower(), said


def check_types(folder: Path) -> None:
    """Hold the package to mypy's strictest."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file=", PACKAGE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def modules(folder: Path) -> list[str]:
    """The names of all its modules."""
    files = sorted((folder / PACKAGE / "api").rglob("[a-z]*.py"))
    return [".".join(file.relative_to(folder).with_suffix("").parts) for file in files]


class Generated:
    """The package, with a client of its own that speaks to a service. Operations are called by their ids."""

    def __init__(self, base_url: str, key: str) -> None:
        self.models = import_module(f"{PACKAGE}.models")
        self.types = import_module(f"{PACKAGE}.types")
        made = import_module(PACKAGE)
        self.client = made.AuthenticatedClient(base_url=base_url, token=key, raise_on_unexpected_status=True)

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.__exit__(*error)

    def operation(self, tag: str, name: str) -> ModuleType:
        """The module of an operation."""
        return import_module(f"{PACKAGE}.api.{tag}.{name}")

    def call(self, tag: str, name: str, *path: str, **told: Any) -> Any:
        """What an operation answers, as the client parses it; None where it cannot."""
        return self.operation(tag, name).sync(*path, client=self.client, **told)

    def file(self, path: Path) -> Any:
        """A file for a form."""
        return self.types.File(payload=BytesIO(path.read_bytes()), file_name=path.name)
