"""``python -m negmerge.rivals``: list the rivals and what each reads, for those who load no torch (``spec.rivals``)."""

import importlib
import json
import pkgutil

from negmerge import rivals
from negmerge.spec.rivals import FILE


def main() -> None:
    """Write the list."""
    FILE.write_text(text(), encoding="utf-8")


def text() -> str:
    """The list for the files that are here: JSON, from a rival's name to the sorted names in its ``READS``."""
    names = sorted(module.name for module in pkgutil.iter_modules(rivals.__path__) if module.name[0] != "_")
    reads = {name: sorted(importlib.import_module(f"negmerge.rivals.{name}").READS) for name in names}
    return json.dumps(reads, indent=1) + "\n"


if __name__ == "__main__":
    main()
