"""``python -m negmerge.names``: tell the names of merge methods and rivals to those who load no torch.

Writes ``spec/methods.json`` from the classes of ``merging.methods``, and ``spec/rivals.json`` from the files in
``rivals``. A test says when either is old.
"""

import importlib
import json
import pkgutil
from collections.abc import Mapping
from typing import Any

from negmerge import rivals
from negmerge.merging.accumulators import trims
from negmerge.merging.methods import METHODS, Method
from negmerge.spec import methods as spec_methods
from negmerge.spec import rivals as spec_rivals


def main() -> None:
    """Write both files anew."""
    spec_methods.FILE.write_text(methods_text(), encoding="utf-8")
    spec_rivals.FILE.write_text(rivals_text(), encoding="utf-8")


def methods_text() -> str:
    """Each merge method with what a spec must know of it, in the order of the classes."""
    return _lines({name: _told(method) for name, method in METHODS.items()})


def _told(method: type[Method]) -> dict[str, Any]:
    """Its name and colour for people, and what is added up for it with which options, for a later job to have it."""
    return {
        "label": method.label,
        "colour": method.colour,
        "needs_singles": method.needs_singles,
        "needs_kept_vectors": method.needs_kept_vectors,
        "components": sorted(method.components),
        "options": ["density"] if trims(method.components) else [],
    }


def rivals_text() -> str:
    """Each rival with the sorted names of the options that it reads (``READS``), by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(rivals.__path__) if module.name[0] != "_")
    return _lines({name: sorted(importlib.import_module(f"negmerge.rivals.{name}").READS) for name in names})


def _lines(entries: Mapping[str, Any]) -> str:
    """JSON with an entry on each line."""
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
