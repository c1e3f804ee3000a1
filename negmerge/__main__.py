"""``python -m negmerge``: the same as the command ``negmerge``."""

from negmerge.cli.main import main

if __name__ == "__main__":
    main()
