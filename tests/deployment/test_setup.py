"""``make setup``: what it installs with CUDA and without. And the version, which has one source."""

import re
import subprocess
import tomllib

from tests.support.deployment import ROOT, distributions, locked


def recipe(*arguments: str) -> str:
    """What make would run, with lines that go on joined."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "--no-print-directory", *arguments],
        cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.replace("\\\n", " ")


def names(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==", lock, re.MULTILINE))


def test_without_cuda_all_but_torch_and_its_libraries_is_synced_from_the_lock() -> None:
    [line] = [line for line in recipe("setup", "TORCH=cpu").splitlines() if "awk" in line]
    sync = line.split("|")[-1]
    done = subprocess.run(
        ["bash", "-c", line[: line.rindex("|")]], cwd=ROOT, capture_output=True, text=True, check=True
    )
    left_out = distributions("dev.lock") - names(done.stdout)
    assert {"torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"} <= left_out
    assert {name for name in left_out if not re.match("torch|triton|nvidia-|cuda-", name)} == set()
    assert {name for name in names(done.stdout) if re.search("nvidia|cuda|triton|torchvision", name)} == set()
    assert " pip sync " in sync
    assert "--require-hashes -" in sync


def test_without_cuda_torch_comes_at_its_locked_version_from_where_one_says() -> None:
    [line] = [
        line for line in recipe("setup", "TORCH=cpu", "TORCH_FROM=--find-links wheels").splitlines() if "grep" in line
    ]
    assert " --no-deps --find-links wheels " in line
    [asked] = re.findall(r"\$\((grep .+)\)$", line)
    done = subprocess.run(["bash", "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    pinned = {line.split(" ;")[0] for line in locked("dev.lock") if re.match(r"torch(vision)?==", line)}
    assert set(done.stdout.split()) == pinned
    assert len(pinned) == 2


def test_with_cuda_nothing_comes_from_elsewhere() -> None:
    assert "--torch-backend" not in recipe("setup")
    assert "--require-hashes requirements/dev.lock" in recipe("setup")


def test_the_version_stands_in_the_package_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "negmerge/__init__.py"
