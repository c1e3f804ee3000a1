"""The exit statuses, and what each says; those of a job's outcome by their names."""

from collections.abc import Mapping

OF_OUTCOME: Mapping[str, int] = {"unlearned": 0, "below_target": 3, "nothing_unlearned": 4}
"""What a command ends with that ran a job to its end, or looked at its result."""

NOT_AS_ASKED = 3
"""The same for an outcome that only a newer service knows: whatever it is, it is not what 0 means."""

JOB_FAILED = 5
JOB_CANCELLED = 6
UNREACHABLE = 7
"""The service does not answer, or fails itself, after all tries."""
STILL_RUNNING = 8
"""The time that was given to wait is over, and the job is not."""

MEANINGS = {
    0: "Done; of a job that was run, watched or looked at: as asked.",
    1: "The reader of the output went away (`… | head`).",
    2: "Something given is wrong, or a file cannot be read or written: one line on stderr says what to do.",
    3: "Of a job: below target. A gate of `require` was missed, or the figures do not show what the rule wanted.",
    4: "Of a job: nothing was unlearned.",
    JOB_FAILED: "The service's job has failed.",
    JOB_CANCELLED: "The service's job was cancelled.",
    UNREACHABLE: "The service does not answer, or fails itself, after all tries.",
    STILL_RUNNING: "The job was not over when the time to wait was.",
    129: "The terminal was closed.",
    130: "Stopped by Ctrl-C. Nothing half done is left but points that are done.",
    143: "Stopped by TERM, likewise.",
}
"""What each status says, for whoever writes a script."""


def of_outcome(outcome: str | None) -> int:
    """The status that says what became of a job that has succeeded; jobs of before there were outcomes are done."""
    return 0 if outcome is None else OF_OUTCOME.get(outcome, NOT_AS_ASKED)


class Ended(Exception):
    """A command is over, with a status of its own and one line for stderr."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)
