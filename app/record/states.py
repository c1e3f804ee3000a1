"""The states of jobs and steps, and the kinds of steps. What may follow what is in ``lifecycle``."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands. Clients should take an unknown state for one that is not terminal."""

    QUEUED = "queued"
    PREPARING = "preparing"
    TUNING = "tuning"
    CONCLUDING = "concluding"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """True where nothing more will happen."""
        return self in TERMINAL


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class StepKind(StrEnum):
    """The kinds of steps. Points are numbered by the sweep, rivals as ``JobSpec.rival_runs`` has them, others are 0."""

    PREPARE = "prepare"
    POINT = "point"
    RIVAL = "rival"
    CONCLUDE = "conclude"


class StepState(StrEnum):
    """Where a step stands. FOLDED and DIVERGED are of points only, DONE of the others."""

    OPEN = "open"
    CLAIMED = "claimed"
    FOLDED = "folded"
    DIVERGED = "diverged"
    DONE = "done"
