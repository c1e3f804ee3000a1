"""``python -m app …``: the service's commands; where their packages are missing, one line that says what to install."""

import sys

from negmerge.errors import ExtraError


def main() -> None:
    """Run a command. Exits with 1 where the extra is not installed."""
    try:
        from app.commands import cli

        cli(prog_name="python -m app")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {ExtraError('service', error.name)}")


if __name__ == "__main__":
    main()
