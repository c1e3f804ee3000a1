"""``make notebook``: run docs/notebook.ipynb on a service of its own, and keep it with what it printed."""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tooling.service import running

NOTEBOOK = Path("docs/notebook.ipynb")
DIGITS = Path("var/demo/digits")
"""What the notebook begins from: the files of `make demo`, or others in their place."""
CELL_SECONDS = 300


def run(notebook: Path, digits: Path, out: Path) -> None:
    """Run the notebook in a fresh folder that has ``digits`` where it looks for the demo's; write it with its outputs.

    Its service is one that ``tooling.service.running`` starts, whose URL and key are in the kernel's environment.
    """
    document = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(digits, place / DIGITS)
        with running(place / "service") as client:
            environment = {
                "NEGMERGE_URL": str(client.base_url),
                "NEGMERGE_API_KEY": client.headers["Authorization"].removeprefix("Bearer "),
                "IPYTHONDIR": str(place / "ipython"),  # nobody's own configuration
                "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            }
            os.environ.update(environment)
            work = {"metadata": {"path": str(place)}}
            NotebookClient(document, timeout=CELL_SECONDS, kernel_name="python3", resources=work).execute()
    for cell in document.cells:
        cell.metadata.pop("execution", None)  # when it ran
    nbformat.write(document, out)  # type: ignore[no-untyped-call]


def main() -> None:
    """Run the notebook of the docs, or write the run elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=Path, default=DIGITS, help="what it begins from")
    parser.add_argument("--out", type=Path, default=NOTEBOOK, help="where it is written with its outputs")
    given = parser.parse_args()
    if not given.digits.is_dir():
        raise SystemExit(f"there is no {given.digits}: run `make demo` first")
    run(NOTEBOOK, given.digits, given.out)


if __name__ == "__main__":
    main()
