"""The image: its Dockerfile is clean, copies what exists, drops root, and what it installs is locked and complete."""

import json
import re
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path, PurePosixPath

import pytest

from negmerge import __version__
from tests.support.deployment import ROOT, arguments_of, instructions, tool

PACKAGES = ("app", "negmerge", "worker")


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([tool("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_base_image_is_pinned_and_the_same_in_both_stages() -> None:
    assert re.fullmatch(r"PYTHON=python:3\.11\.\d+-slim-[a-z]+", arguments_of("ARG")[0])
    assert arguments_of("FROM") == ["${PYTHON} AS build", "${PYTHON} AS run"]


def test_it_runs_as_a_user_without_a_name_to_look_up() -> None:
    [user] = arguments_of("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    after = [word for word, _ in instructions()[instructions().index(("USER", user)) :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)


def test_commands_are_in_exec_form_so_that_signals_arrive() -> None:
    assert json.loads(arguments_of("CMD")[0]) == ["python", "-m", "app", "serve"]
    assert arguments_of("STOPSIGNAL") == ["SIGTERM"]


def test_its_labels_and_version_are_this_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"VERSION={__version__}" in arguments_of("ARG")
    assert 'org.opencontainers.image.version="${VERSION}"' in arguments_of("LABEL")[0]


def test_it_brings_the_same_uv_as_the_makefile() -> None:
    found = re.search(r"^UV_VERSION := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None
    assert any(f"uv=={found[1]}" in command for command in arguments_of("RUN"))


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves ``path`` out: the last pattern that fits it or a folder above it decides."""
    answer = False
    above = [PurePosixPath(path), *PurePosixPath(path).parents][:-1]
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
            if any(re.fullmatch(pattern, str(part)) for part in above):
                answer = not line.startswith("!")
    return answer


def test_every_copied_path_exists_and_is_not_ignored() -> None:
    copied = [words.split()[:-1] for words in arguments_of("COPY") if not words.startswith("--from")]
    sources = [source for group in copied for source in group]
    assert "requirements/runtime.lock" in sources
    assert all((ROOT / source).exists() and not ignored(source.rstrip("/")) for source in sources)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_reaches_the_build(package: str) -> None:
    files = [path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert [path for path in files if ignored(path.relative_to(ROOT).as_posix())] == []


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "app/__pycache__/main.cpython-311.pyc",
        "deploy/env.example",
        "requirements/other.lock",
        "shared/data/x.pt",
        "tests/support/pico.py",
        "var/demo/api-key",
    ],
)
def test_nothing_else_reaches_the_build(path: str) -> None:
    assert ignored(path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the image installs, built and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_file_of_the_three_packages(installed: Path) -> None:
    def files(root: Path) -> set[str]:
        found = (path for package in PACKAGES for path in (root / package).rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix() for path in found if path.suffix != ".pyc"}

    assert files(installed) == files(ROOT)


@pytest.mark.parametrize(
    "command", ["app serve", "app migrate", pytest.param("worker", marks=pytest.mark.slow), "negmerge"]
)
def test_each_program_starts_from_the_wheel_alone(installed: Path, command: str, tmp_path: Path) -> None:
    module, *words = command.split()
    script = (
        f"import runpy, sys, {module}; assert {module}.__file__.startswith({str(installed)!r}); "
        f"sys.argv[1:] = {[*words, '--help']}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().lower().startswith("usage")


@pytest.fixture
def answers(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that answers /healthz with the status that the test names."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("answers", "status"), [(200, 0), (503, 1)], indirect=["answers"])
def test_the_health_check_passes_with_a_healthy_api_alone(answers: int, status: int) -> None:
    [check] = arguments_of("HEALTHCHECK")
    _, *arguments = json.loads(check[check.index("[") :])
    done = subprocess.run(
        [sys.executable, *arguments], env={"NEGMERGE_PORT": str(answers)}, capture_output=True, check=False
    )
    assert done.returncode == status


def locked(name: str) -> dict[str, list[str]]:
    """Each requirement of a lock file (``name==version ; marker``) with its hashes."""
    text = (ROOT / "requirements" / name).read_text()
    found: dict[str, list[str]] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if line and not line.lstrip().startswith("#"):
            requirement, *hashes = line.split("--hash=")
            found[requirement.strip()] = [digest.strip() for digest in hashes]
    return found


@pytest.mark.parametrize("name", ["runtime.lock", "dev.lock"])
def test_a_lock_pins_every_package_by_version_and_hash_and_names_no_index(name: str) -> None:
    requirements = locked(name)
    assert len(requirements) > 50
    for requirement, hashes in requirements.items():
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ;|$)", requirement)
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)
    assert not re.search(r"--(extra-)?index-url|--find-links|https?://", (ROOT / "requirements" / name).read_text())


def test_both_locks_agree() -> None:
    assert locked("runtime.lock").items() <= locked("dev.lock").items()


def test_the_torch_with_a_broken_file_is_not_picked() -> None:
    assert not [r for r in locked("runtime.lock") if r.startswith("torch==2.13.0")]
