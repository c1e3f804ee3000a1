"""``make demo``: what ``demo.job`` does, with somebody to say all the while what goes on."""

import sys

from tooling.beat import Beat


def main() -> None:
    """Run the demo and print its table."""
    beat = Beat(sys.stderr)
    with beat.beating():
        beat.begin("Python loads torch")
        from demo import job  # only here: loading it takes seconds

        made = job.run(beat)
    job.show(made)


if __name__ == "__main__":
    main()
