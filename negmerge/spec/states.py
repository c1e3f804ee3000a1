"""What a job's state and the kinds of its steps are called, in the record as on the wire."""

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
