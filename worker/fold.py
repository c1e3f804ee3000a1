"""This process's own partial of one repeat of a job: points are folded into it, and committed together by a flush.

Until a flush commits them the points stay claimed, so that others run them again if this process dies. A flush
that finds one of its points lost is void; then a new, empty partial is begun beside the last committed one.
"""

import time
import uuid
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import structlog

from app.record import db, reopening, steps
from app.record.leases import Claim
from app.record.steps import FlushOutcome
from app.store.objects import ObjectMissing, StoreUnavailable
from negmerge.merging.partial import Partial
from worker.context import WorkerContext
from worker.held_claims import HeldClaims

if TYPE_CHECKING:
    from negmerge.pipeline.tune import TunedPoint

log = structlog.get_logger(__name__)


class Fold:
    """The partials of one process life and one repeat of a job's sweep. Only the computing thread uses it.

    empty: makes an empty partial of the job.
    """

    def __init__(
        self, context: WorkerContext, held: HeldClaims, job_id: str, empty: Callable[[], Partial], repeat: int = 0
    ) -> None:
        self.job_id = job_id
        self.repeat = repeat
        self._context = context
        self._held = held
        self._empty = empty
        self._begin()

    def _begin(self) -> None:
        self._id = uuid.uuid4().hex
        self._partial = self._empty()
        self._waiting: list[Claim] = []
        self._due_at = 0.0
        self._tried: tuple[str, list[Claim]] | None = None

    def add(self, claim: Claim, tuned: "TunedPoint") -> None:
        """Fold a trained point. It stays claimed until a flush commits it."""
        try:
            self._partial.add(claim.index, tuned.vector, tuned.single)
        except BaseException:  # half a point may be in it
            self.give_up()
            raise
        if not self._waiting:
            self._due_at = time.monotonic() + self._context.settings.flush_seconds
        self._waiting.append(claim)
        self._held.keep(claim)

    def flush_if_due(self) -> None:
        """Flush what has waited for ``flush_seconds``. An outage puts it off, since a step is running."""
        if not self._waiting or time.monotonic() < self._due_at:
            return
        try:
            self.flush()
        except (*db.AWAY, StoreUnavailable) as error:
            self._due_at = time.monotonic() + self._context.settings.flush_seconds
            log.warning("flush put off", job=self.job_id, error=type(error).__name__)

    def flush(self) -> bool:
        """Commit the waiting points, all or none of them; False where there were none.

        An outage raises one of ``db.AWAY`` or StoreUnavailable and changes nothing here: the next flush reads first
        whether the last one was committed after all.
        """
        if not self._waiting:
            return False
        self._look_at_the_last()
        if not self._waiting:
            return True
        if self._commit() is FlushOutcome.COMMITTED:
            self._let_go(self._waiting)
        else:
            log.info("flush void", job=self.job_id, points=[claim.index for claim in self._waiting])
            self.give_up()
        return True

    def _commit(self) -> FlushOutcome:
        with self._context.scratch.folder() as folder:
            path = folder / "partial.safetensors"
            self._partial.save(path)
            try:
                key = self._context.upload(self._waiting[-1], f"partial-{uuid.uuid4().hex}.safetensors", path)
            except ObjectMissing:  # the lease ended meanwhile, and the object was collected
                return FlushOutcome.VOID
        self._tried = key, list(self._waiting)
        with self._context.database.write() as session:
            return steps.flush(session, self._waiting, self._id, key, self._partial.points)

    def _look_at_the_last(self) -> None:
        """Let go of what the flush before, of unknown outcome, has committed. More may have been folded since."""
        if self._tried is None:
            return
        key, claims = self._tried
        with self._context.database.read() as session:
            found = steps.committed(session, self._id)
        if found is not None and found.key == key:
            self._let_go(claims)

    def give_up(self) -> None:
        """Points not committed run again; those that were, are safe in the partial that a row points at."""
        waiting = self._waiting
        self._let_go(waiting)
        self._begin()
        with self._context.database.write() as session:
            reopening.give_back(session, waiting)

    def _let_go(self, claims: Collection[Claim]) -> None:
        tokens = {claim.token for claim in claims}
        self._held.let_go(tokens)
        self._waiting = [claim for claim in self._waiting if claim.token not in tokens]
        self._tried = None
