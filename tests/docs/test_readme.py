"""The README and the other pages say what is so: the walk-through runs as it stands, what they name exists."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from negmerge.cli.main import main
from tests.support import archive_files, pico, pico_timm, transformers_folders
from tests.support.servers import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TOP = [path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("var", ".git")]
PORT = 8765
"""The port of the walk-through, replaced here by a free one: nothing else of it is changed."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder as ``make demo`` leaves one, with the pico model and archive in place of the demo's.

    What still runs in it after the test is killed, so that a walk-through that fails leaves nothing either.
    """
    digits = tmp_path / "var" / "demo" / "digits"
    pico.make_archive(digits / "digits.zip")
    pico.make_model(digits / "model")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    yield tmp_path
    for pid in processes_in(tmp_path):
        os.kill(pid, signal.SIGKILL)


def processes_in(folder: Path) -> list[int]:
    """Other processes than this one that work in the folder, or whose command line names it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = (process / "cwd").readlink().is_relative_to(folder)
            named = os.fsencode(folder) in (process / "cmdline").read_bytes()
            if (inside or named) and process.name != str(os.getpid()):
                found.append(int(process.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.server
def test_the_walk_through_runs_as_it_stands(place: Path) -> None:
    section = README.split("## The same with curl")[1].split("\n## ")[0]
    script = "\n".join(blocks(section, "bash"))
    assert str(PORT) in script
    printed = place / "printed.txt"
    with printed.open("wb") as output:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script.replace(str(PORT), str(free_port()))],
            cwd=place,
            env=os.environ | {"NEGMERGE_THREADS": "1"},  # two stand still beside other tests
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, printed.read_text()
    weights = hashlib.sha256((place / "var" / "unlearned.safetensors").read_bytes()).hexdigest()
    result = json.loads((place / "var" / "result.json").read_text())
    assert result["digests"]["unlearned"] == f"sha256:{weights}"
    assert weights in printed.read_text()
    assert "<html" in (place / "var" / "report.html").read_text()
    assert processes_in(place) == []


@pytest.mark.slow
def test_the_command_lines_examples_run_as_they_stand(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, which spares each command the import of torch; the lines of plain shell by bash."""
    page = (ROOT / "docs" / "command-line.md").read_text()
    monkeypatch.chdir(place)
    specification, config = blocks(page, "json")
    Path("job.json").write_text(specification)
    Path("config.json").write_text(config)
    Path("IMG_0012.png").write_bytes(archive_files.png(7, (8, 8)))
    torch.save({"state_dict": pico_timm.module(json.loads(config)).state_dict()}, "checkpoint.pth")
    transformers_folders.save(transformers_folders.vit(), Path("vit"))
    for name in ("base", "run1", "run2", "run3"):
        shutil.copy("var/demo/digits/model/open_clip_model.safetensors", f"{name}.safetensors")
    for line in "".join(blocks(page, "bash")).splitlines():
        if line.startswith("negmerge "):
            monkeypatch.setattr(sys, "argv", shlex.split(line))
            with pytest.raises(SystemExit) as ended:
                main()
            outcomes = (3, 4) if line.startswith("negmerge run") else ()  # so small a model unlearns what it can
            assert ended.value.code in (None, 0, *outcomes), line
        else:
            subprocess.run(["bash", "-c", line], check=True)
    assert Path("unlearned-three/unlearned/open_clip_model.safetensors").exists()
    assert Path("resnet/model.safetensors").read_bytes() == Path("resnet-by-name/model.safetensors").read_bytes()
    assert Path("vit-again/preprocessor_config.json").exists()
    assert Path("merged.safetensors").read_bytes() == Path("base.safetensors").read_bytes()


def links(page: Path) -> list[str]:
    """What a page links to within the repository."""
    found = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    return [link for link in found if "://" not in link]


def paths(page: Path) -> list[str]:
    """The paths that a page names as code."""
    return re.findall(rf"`((?:{'|'.join(map(re.escape, TOP))})/[\w./-]*)`", page.read_text())


def targets(page: Path) -> list[str]:
    """What a page says to make."""
    return re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("look", [links, paths, targets])
def test_what_is_looked_for_on_every_page_is_found_on_the_first(look: Callable[[Path], list[str]]) -> None:
    assert len(look(ROOT / "README.md")) > 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_is_named_exists(page: Path) -> None:
    assert [path for path in paths(page) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_of_make_that_is_named_is_there(page: Path) -> None:
    there = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert [target for target in targets(page) if target not in there] == []
