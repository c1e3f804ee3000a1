"""``python -m benchmarks [NAME …]``: each compares with the published way of doing the same work, in one run."""

import sys
from importlib import import_module

NAMES = (
    "merge",
    "fold",
    "training",
    "sweep",
    "second_job",
    "decoding",
    "api",
    "classifier",
    "precision",
    "full_size",
    "hostile",
    "page",
    "start",
    "scale",
)


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    if unknown := set(names) - set(NAMES):
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in names or NAMES:
        import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
