"""``python -m negmerge``: the same as the command ``negmerge``."""

from negmerge.cli import main

if __name__ == "__main__":
    main()
