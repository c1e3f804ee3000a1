"""The exit statuses that say what became of a job; ``main`` has the others."""

from negmerge.spec.result import OutcomeName

OF_OUTCOME: dict[OutcomeName, int] = {"unlearned": 0, "below_target": 3, "nothing_unlearned": 4}
"""What a command ends with that ran a job to its end, or looked at its result."""

JOB_FAILED = 5
JOB_CANCELLED = 6
UNREACHABLE = 7
"""The service does not answer, or fails itself, after all tries."""
STILL_RUNNING = 8
"""The time that was given to wait is over, and the job is not."""


class Ended(Exception):
    """A command is over, with a status of its own and one line for stderr."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)
