"""The states of jobs and steps, and the kinds of steps. What may follow what is in ``lifecycle``.

Clients see the names of ``negmerge.spec.states``; how a step stands is the record's own.
"""

from enum import StrEnum

from negmerge.spec.states import TERMINAL, JobState, StepKind

__all__ = ["TERMINAL", "JobState", "StepKind", "StepState"]


class StepState(StrEnum):
    """Where a step stands. FOLDED and DIVERGED are of points only, DONE of the others."""

    OPEN = "open"
    CLAIMED = "claimed"
    FOLDED = "folded"
    DIVERGED = "diverged"
    DONE = "done"
