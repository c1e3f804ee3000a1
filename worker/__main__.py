"""``python -m worker``: a worker, or several on one device; where packages are missing, a line that says which."""

import sys

from negmerge.errors import ExtraError


def main() -> int:
    """Work until TERM. Exits with 1 where the extra is not installed, and as ``worker.process``."""
    try:
        from app.settings import Settings

        if len(sys.argv) == 1 and (settings := Settings()).workers_per_device != 1:
            from worker.siblings import work_together  # without torch: only its children need that

            return work_together(settings)
        from worker.process import main as work
    except ModuleNotFoundError as error:
        sys.exit(f"error: {ExtraError('worker', error.name)}")
    return work()


if __name__ == "__main__":
    sys.exit(main())
