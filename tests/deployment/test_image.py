"""The images: their Dockerfile is clean, copies what exists, drops root; what they install is locked and complete."""

import email
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
from tests.support.deployment import ROOT, arguments_of, distributions, instructions_of, locked, tool
from tests.support.sites import link, run_in

pytestmark = pytest.mark.slow

PACKAGES = ("app", "negmerge", "worker")
LOCKS = {"api": "api.lock", "worker": "runtime.lock"}
"""The image's target → the lock that it installs."""


def test_hadolint_has_nothing_to_say() -> None:
    done = subprocess.run([tool("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_base_image_is_pinned_and_the_same_in_all_stages() -> None:
    assert re.fullmatch(r"PYTHON=python:3\.11\.\d+-slim-[a-z]+", arguments_of("ARG")[0])
    stages = [words.split() for words in arguments_of("FROM")]
    assert {below for below, _, _ in stages} - {name for _, _, name in stages} == {"${PYTHON}"}


@pytest.mark.parametrize("target", LOCKS)
def test_it_runs_as_a_user_without_a_name_to_look_up(target: str) -> None:
    [user] = arguments_of("USER", target)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    made = instructions_of(target)
    after = [word for word, _ in made[made.index(("USER", user)) :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)


@pytest.mark.parametrize(("target", "program"), [("api", "app serve"), ("worker", "worker")])
def test_commands_are_in_exec_form_so_that_signals_arrive(target: str, program: str) -> None:
    [command] = arguments_of("CMD", target)
    assert json.loads(command) == ["python", "-m", *program.split()]
    assert arguments_of("STOPSIGNAL", target) == ["SIGTERM"]


@pytest.mark.parametrize("target", LOCKS)
def test_its_labels_and_version_are_this_projects(target: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [labels] = arguments_of("LABEL", target)
    assert f"VERSION={__version__}" in arguments_of("ARG", target)
    assert 'org.opencontainers.image.version="${VERSION}"' in labels
    assert f'org.opencontainers.image.licenses="{project["license"]}"' in labels


@pytest.mark.parametrize("target", LOCKS)
def test_what_it_holds_is_synced_from_its_own_lock(target: str) -> None:
    [copied] = arguments_of("COPY", target)
    assert copied == f"--from={target}-packages /opt/negmerge /opt/negmerge"
    [sync] = [command for command in arguments_of("RUN", f"{target}-packages") if " pip sync " in command]
    assert re.findall(r"--require-hashes .*requirements/(\S+)$", sync) == [LOCKS[target]]


def test_they_bring_the_same_uv_as_the_makefile() -> None:
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
    assert {"requirements/api.lock", "requirements/runtime.lock"} <= set(sources)
    found = {path.relative_to(ROOT).as_posix() for source in sources for path in ROOT.glob(source)}
    assert {source.rstrip("/") for source in sources if "*" not in source} <= found
    assert [path for path in found if ignored(path)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_reaches_the_build(package: str) -> None:
    built = ROOT / "app/guide/site"  # the image builds its own
    files = [path for path in (ROOT / package).rglob("*") if path.is_file() and path.parent.name != "__pycache__"]
    files = [path for path in files if built not in path.parents]
    assert [path for path in files if ignored(path.relative_to(ROOT).as_posix())] == []


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "app/__pycache__/main.cpython-311.pyc",
        "deploy/env.example",
        "requirements/api.excludes",
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
        return {path.relative_to(root).as_posix() for path in found if path.parent.name != "__pycache__"}

    assert files(installed) == files(ROOT)


def test_the_wheel_says_version_and_licence_and_asks_for_no_service(installed: Path) -> None:
    [about] = installed.glob("negmerge-*.dist-info/METADATA")
    fields = email.message_from_string(about.read_text())
    assert fields["Version"] == __version__
    assert fields["License-Expression"] == "Apache-2.0"
    always = [line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert [line for line in always if re.match("celery|fastapi|psycopg|redis|sqlalchemy", line)] == []


@pytest.fixture(scope="module")
def sites(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each image as a module path: the wheel, and what its lock installs."""
    return {
        target: f"{installed}:{link(distributions(lock), tmp_path_factory.mktemp(target))}"
        for target, lock in LOCKS.items()
    }


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("api", "app serve"),
        ("api", "app migrate"),
        pytest.param("worker", "worker", marks=pytest.mark.slow),
        ("worker", "negmerge"),
    ],
)
def test_each_program_starts_from_the_wheel_and_its_images_packages_alone(
    installed: Path, sites: dict[str, str], target: str, command: str, tmp_path: Path
) -> None:
    module, *words = command.split()
    script = (
        f"import runpy, sys, {module}; assert {module}.__file__.startswith({str(installed)!r}); "
        f"sys.argv[1:] = {[*words, '--help']}; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    assert run_in(sites[target], script, tmp_path).strip().lower().startswith("usage")


OF_EXTRAS = ("publishing.onnx_file", "publishing.tracking")
"""Modules that need an extra, which no image has."""

EVERY_MODULE = """
import importlib, pkgutil, sys

for package in {packages!r}:
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        passed_over = ("__main__", "migrations.env", *{extras!r})
        if not module.name.endswith(passed_over) and ".versions." not in module.name:
            importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith({packages!r})]))
"""


@pytest.mark.parametrize(
    ("target", "packages"),
    [("api", ("app",)), pytest.param("worker", ("worker", "negmerge"), marks=pytest.mark.slow)],
)
def test_an_image_has_what_each_of_its_modules_imports(
    sites: dict[str, str], target: str, packages: tuple[str, ...], tmp_path: Path
) -> None:
    assert int(run_in(sites[target], EVERY_MODULE.format(packages=packages, extras=OF_EXTRAS), tmp_path)) > 20


def test_the_apis_image_migrates_a_record_and_makes_the_api(sites: dict[str, str], tmp_path: Path) -> None:
    script = """
from app.commands import migrate
from app.main import create_app
from app.settings import Settings

migrate()
print(len(create_app(Settings()).openapi()["paths"]))
"""
    assert int(run_in(sites["api"], script, tmp_path)) > 10


def test_the_apis_image_knows_the_names_of_models(sites: dict[str, str], tmp_path: Path) -> None:
    script = """
from app.intake import zoo

zoo.check_tag("open_clip", "ViT-B-32", "openai")
zoo.check_architecture("timm", "resnet18")
"""
    run_in(sites["api"], script, tmp_path)


def test_the_apis_image_has_no_torch_and_the_workers_has() -> None:
    of_cuda = {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"}
    assert of_cuda.isdisjoint(distributions("api.lock"))
    assert of_cuda <= distributions("runtime.lock")


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
    [check] = arguments_of("HEALTHCHECK", "api")
    _, *arguments = json.loads(check[check.index("[") :])
    done = subprocess.run(
        [sys.executable, *arguments], env={"NEGMERGE_PORT": str(answers)}, capture_output=True, check=False
    )
    assert done.returncode == status


@pytest.mark.parametrize("name", ["api.lock", "dev.lock", "runtime.lock"])
def test_a_lock_pins_every_package_by_version_and_hash_and_names_no_index(name: str) -> None:
    requirements = locked(name)
    assert len(requirements) > 50
    for requirement, hashes in requirements.items():
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ;|$)", requirement)
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in hashes)
    assert not re.search(r"--(extra-)?index-url|--find-links|https?://", (ROOT / "requirements" / name).read_text())


@pytest.mark.parametrize("name", LOCKS.values())
def test_an_images_lock_agrees_with_the_one_that_is_tested(name: str) -> None:
    def pinned(lock: str) -> set[tuple[str, ...]]:
        return {(requirement.split(" ;")[0], *hashes) for requirement, hashes in locked(lock).items()}

    assert pinned(name) <= pinned("dev.lock")


def test_the_torch_with_a_broken_file_is_not_picked() -> None:
    assert not [r for r in locked("runtime.lock") if r.startswith("torch==2.13.0")]
