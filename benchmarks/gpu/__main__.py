"""``python -m benchmarks.gpu``: GPU-marked tests, then the table, to a file and standard output.

Exit status: 0 where all that was run is as it must be, whatever the speed; 1 where a test or a row failed; 3 where
something is missing, which is named.
"""

import argparse
import sys
import time
from pathlib import Path

from benchmarks.gpu.needs import missing

OUT = Path("var/gpu.md")
MINUTES = 8.0
MISSING = 3


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="all rows with models and data of no size, to try them out")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="rows that no longer fit are left out")
    parser.add_argument("--out", type=Path, default=OUT, help="where the table goes")
    given = parser.parse_args()
    started = time.monotonic()
    if lacks := missing(given.device):
        for one in lacks:
            print(f"make gpu needs {one}", file=sys.stderr)
        return MISSING
    from benchmarks.gpu import rows  # only now: it needs what was just looked for
    from benchmarks.gpu.table import Bench, markdown, measured

    bench = Bench(rows.device_of(given.device), given.tiny)
    lines = measured(rows.ROWS, bench, started + 60 * given.minutes, lambda line: print(line, flush=True))
    text = markdown(lines, rows.where(bench))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten to {given.out}; {time.monotonic() - started:.0f} s in all")
    return int(any(line.wrong for line in lines))


if __name__ == "__main__":
    sys.exit(main())
