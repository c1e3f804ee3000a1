"""How often a step is tried, and when again."""

from dataclasses import dataclass

from app.settings import Settings

MOST_SECONDS = 60.0
"""No wait is longer."""


@dataclass(frozen=True)
class Retries:
    """At ``attempts`` failures of a step its job fails. Before, each failure waits twice as long as the one before it.

    The wait is in the record, so it holds for all workers: a fault that passes has time to, and a step that nobody
    can do does not keep everybody busy.
    """

    attempts: int
    seconds: float  # after the first failure

    @classmethod
    def of(cls, settings: Settings) -> "Retries":
        """As this machine's settings have it."""
        return cls(settings.max_attempts, settings.retry_seconds)

    def wait(self, failures: int) -> float:
        """Seconds until the next attempt, after so many failures; none after none."""
        return doubled(self.seconds, failures) if failures else 0.0


def doubled(first: float, failures: int) -> float:
    """Seconds after so many failures in a row, at least one: ``first``, twice as long after each, a minute at most."""
    return min(first * 2.0 ** min(failures - 1, 30), MOST_SECONDS)
