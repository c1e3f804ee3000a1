"""The page on the house: its tree is the real one, and its floors are the import contracts'."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from app.settings import Settings
from worker.held_claims import SAFE_SHARE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = ("negmerge", "app", "worker")
REVISIONS = "app/record/migrations/versions"
"""A folder whose files the tree does not name: they are revisions, one after the other."""
BUILT = ROOT / "app/guide/site"
"""What `make docs` builds."""


def drawing(before: str) -> list[str]:
    """The lines of the first drawing after these words of the page."""
    return PAGE.split(before, 1)[1].split("```text\n", 1)[1].split("\n```", 1)[0].splitlines()


def paths(lines: list[str]) -> list[str]:
    """Each line's path, from its name and how far it is indented; folders end with a slash."""
    found, folders = [], [""]
    for line in lines:
        [(indent, name, phrase)] = re.findall(r"^((?:  )*)(\S+) +(\S.*)$", line)
        assert phrase
        del folders[len(indent) // 2 + 1 :]
        found.append(folders[-1] + name)
        if name.endswith("/"):
            folders.append(found[-1])
    return found


def holds_files(folder: Path) -> bool:
    """Whether a folder is one of ours, and not what a moved module has left behind."""
    return any(path.is_file() and "__pycache__" not in path.parts for path in folder.rglob("*"))


def real(package: str) -> list[str]:
    """Every folder and every module of a package. A folder's own line stands for its ``__init__.py``."""
    top = ROOT / package
    folders = [path for path in (top, *top.rglob("*")) if path.is_dir() and holds_files(path)]
    modules = [path for path in top.rglob("*.py") if path.name != "__init__.py"]
    named = [path for path in modules if path.parent != ROOT / REVISIONS]
    folders = [path for path in folders if BUILT not in (path, *path.parents)]
    return [f"{path.relative_to(ROOT)}/" for path in folders] + [str(path.relative_to(ROOT)) for path in named]


TREE = paths(drawing("## The rooms"))
AROUND = paths(drawing("Around them:"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_and_module_has_a_line(package: str) -> None:
    missing = sorted(set(real(package)) - set(TREE))
    assert not missing, f"docs/architecture.md, The rooms: add a line with a short phrase for {', '.join(missing)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_line_is_about_what_is_not_there(package: str) -> None:
    told = {path for path in TREE if path.startswith(f"{package}/")}
    gone = sorted(told - set(real(package)))
    assert not gone, f"docs/architecture.md, The rooms: take out, or rename, the line of {', '.join(gone)}"


def test_no_path_has_two_lines() -> None:
    twice = [path for path, lines in Counter(TREE + AROUND).items() if lines > 1]
    assert not twice, f"docs/architecture.md: more than one line for {', '.join(twice)}"


def test_the_tree_is_of_the_three_packages() -> None:
    assert {path.split("/")[0] for path in TREE} == set(PACKAGES)


def test_the_rooms_of_the_tests_are_the_real_ones() -> None:
    told = {path for path in AROUND if path.startswith("tests/")}
    rooms = {"tests/", *(f"tests/{path.parent.name}/" for path in (ROOT / "tests").glob("*/__init__.py"))}
    assert told == rooms, f"docs/architecture.md, Around them: mend the lines of {', '.join(sorted(told ^ rooms))}"


def test_what_is_around_the_packages_exists() -> None:
    assert [path for path in AROUND if not (ROOT / path).is_dir()] == []


def test_a_path_is_read_from_its_indentation() -> None:
    lines = ["a/   x", "  b/ x", "    c.py x", "  d.py x", "e/ x", "  f.py x"]
    assert paths(lines) == ["a/", "a/b/", "a/b/c.py", "a/d.py", "e/", "e/f.py"]


@pytest.mark.parametrize("package", ["negmerge", "app"])
def test_the_floors_are_those_of_the_import_contract(package: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract.get("containers") == [package]]
    drawn = [line.split("│")[1].strip() for line in drawing(f"`{package}/`, the") if line.startswith("│")]
    assert drawn == layers, f"docs/architecture.md, The floors: draw {package}'s as pyproject.toml has them: {layers}"


def test_the_front_door_may_enter_the_rooms_that_the_page_names() -> None:
    """All rooms of the library but those that the contract forbids, and the package's own ``__main__``."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [forbidden] = [c["forbidden_modules"] for c in contracts if "negmerge.merging" in c.get("forbidden_modules", ())]
    [line] = [line for line in drawing("Between the three:") if line.startswith("app ")]
    named = set(re.findall(r"\w+", line.split("negmerge")[1].split(":")[0]))
    rooms = {path.split("/")[1].removesuffix(".py") for path in TREE if re.fullmatch(r"negmerge/\w+(/|\.py)", path)}
    assert named == rooms - {name.removeprefix("negmerge.") for name in forbidden} - {"__main__"}


@pytest.mark.parametrize(
    "told",
    [
        f"a lease of {Settings().lease_seconds:g} s, renewed every {Settings().renew_seconds:g} s",
        f"at {SAFE_SHARE:g} of the lease",
        f"until a flush commits it, every {Settings().flush_seconds:g} s",
    ],
)
def test_the_figures_of_the_leases_are_the_codes(told: str) -> None:
    assert told in " ".join(PAGE.split())
