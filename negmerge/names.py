"""``python -m negmerge.names``: tell the names of merge methods to those who may not load numpy.

Writes ``spec/methods.json`` from the classes of ``merging.methods``; a test says when that is old.
"""

import json
from pathlib import Path

from negmerge.merging.methods import METHODS

_FILE = Path(__file__).parent / "spec" / "methods.json"


def main() -> None:
    """Write the file anew."""
    known = {name: {"needs_kept_vectors": method.needs_kept_vectors} for name, method in METHODS.items()}
    lines = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in known.items()]
    _FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
