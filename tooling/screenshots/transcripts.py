"""The command lines of the tutorials, run as they stand there; what they print is written below them.

A fenced block of ``text`` right after one of ``bash`` is what that printed. All blocks of a run share one shell.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import httpx

TUTORIALS = [Path("docs/tutorials/a-class.md"), Path("docs/tutorials/a-persons-pictures.md")]
SAID = "http://127.0.0.1:8765"
"""Where the tutorials say that the service is."""

_BLOCK = re.compile(r"```bash\n(?P<lines>.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)
_END = "== end of a block =="
_WIDTH = 100


def write(client: httpx.Client, demo: Path, pages: list[Path] | None = None) -> None:
    """Run every block against the service, in a fresh folder that has what the demo leaves in ``demo``."""
    pages = pages or TUTORIALS
    texts = [page.read_text() for page in pages]
    blocks = [found["lines"] for text in texts for found in _BLOCK.finditer(text)]
    printed = iter(_run(blocks, client, demo))
    for page, text in zip(pages, texts, strict=True):
        page.write_text(_BLOCK.sub(lambda found: _with_output(found["lines"], next(printed)), text))


def _with_output(lines: str, printed: str) -> str:
    block = f"```bash\n{lines}```\n"
    return f"{block}\n```text\n{printed}\n```\n" if printed else block


def _run(blocks: list[str], client: httpx.Client, demo: Path) -> list[str]:
    """What each block printed, on both streams. Raises SystemExit where one fails."""
    origin = str(client.base_url).rstrip("/")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _furnish(place, client, demo)
        script = "set -e\n" + "".join(f"{block}\necho '{_END}'\n" for block in blocks).replace(SAID, origin)
        environment = {"HOME": folder, "PATH": os.environ["PATH"], "COLUMNS": str(_WIDTH), "LANG": "C.UTF-8"}
        command = ["bash", "-c", script]
        done = subprocess.run(
            command,
            cwd=place,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"the tutorials' command lines ended with {done.returncode}:\n{done.stdout}")
        printed = done.stdout.replace(origin, SAID).replace(folder, "~").split(f"{_END}\n")[:-1]
    return [_tidy(one) for one in printed]


def _furnish(place: Path, client: httpx.Client, demo: Path) -> None:
    """The folder as the tutorials find it: the environment, what the demo leaves, and the service's key."""
    (place / ".venv").symlink_to(Path(".venv").absolute())
    shutil.copytree(demo, place / "var" / "demo" / "digits")
    key = place / "var" / "demo" / "service" / "api-key"
    key.parent.mkdir()
    key.touch(mode=0o600)
    key.write_text(client.headers["Authorization"].removeprefix("Bearer ") + "\n")


def _tidy(printed: str) -> str:
    return "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
