"""``python -m benchmarks [NAME …]``: what is measured beside another way of doing the same work, in one run.

Without a name, what ``make bench`` runs in a quarter of an hour; ``all`` is everything.
"""

import sys
import time
from importlib import import_module

USUAL = ("merge", "fold", "sweep", "second_job", "start")
OTHERS = (
    "merge_sizes",
    "training",
    "decoding",
    "scale",
    "precision",
    "api",
    "classifier",
    "full_size",
    "hostile",
    "page",
)
NAMES = (*USUAL, *OTHERS)


def main(names: list[str]) -> None:
    """Run the named benchmarks, the usual ones, or all."""
    if unknown := set(names) - {*NAMES, "all"}:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}, and all")
    for name in NAMES if "all" in names else names or USUAL:
        started = time.monotonic()
        import_module(f"benchmarks.{name}").main()
        print(f"  ({name}: {time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
