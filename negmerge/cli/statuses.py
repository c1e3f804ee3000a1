"""The exit statuses that say what became of a job; ``main`` has the others."""

from negmerge.spec.result import OutcomeName

OF_OUTCOME: dict[OutcomeName, int] = {"unlearned": 0, "below_target": 3, "nothing_unlearned": 4}
"""What a command ends with that ran a job to its end, or looked at its result."""
