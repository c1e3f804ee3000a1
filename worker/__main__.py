"""``python -m worker``: a worker; where its packages are missing, one line that says what to install."""

import sys

from negmerge.errors import ExtraError


def main() -> int:
    """Work until TERM. Exits with 1 where the extra is not installed, and as ``worker.process``."""
    try:
        from worker.process import main as work
    except ModuleNotFoundError as error:
        sys.exit(f"error: {ExtraError('worker', error.name)}")
    return work()


if __name__ == "__main__":
    sys.exit(main())
