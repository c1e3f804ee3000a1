"""The keeper: the thread of a worker that keeps its claims, and tells the running step when to stop.

It renews leases, carries progress to the record, looks for cancelled jobs, sweeps, and says that this process is
alive. It is no Celery task, because the pool's only thread may be training for hours; and it needs no broker.
"""

import threading
import time

import structlog

from app.record import db, reopening
from app.record.leases import not_wanted, renew, report_progress
from app.record.retries import Retries
from worker.context import WorkerContext
from worker.held_claims import HeldClaims

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
"""How often the record is asked whether a held job was cancelled: a cancel takes hold within a second."""


class Keeper(threading.Thread):
    """Keeps the claims of ``held`` until ``finish`` is called."""

    def __init__(self, context: WorkerContext, held: HeldClaims) -> None:
        super().__init__(name="keeper", daemon=True)
        self._context = context
        self._held = held
        self._finished = threading.Event()
        self._was_away = False  # the record, since the leases were renewed last

    def run(self) -> None:
        """Look at least twice a second what is due. An error that nobody foresaw ends the process."""
        settings = self._context.settings
        pause = min(_LOOK_SECONDS, settings.renew_seconds, settings.poll_seconds)
        keep_at = sweep_at = 0.0
        try:
            while not self._finished.is_set():
                try:
                    self._look_for_ended_jobs()
                    if time.monotonic() >= keep_at:
                        keep_at = time.monotonic() + settings.renew_seconds
                        self._keep()
                    if time.monotonic() >= sweep_at:
                        sweep_at = time.monotonic() + settings.poll_seconds
                        self._sweep()
                except db.AWAY as error:
                    log.warning("the database does not answer", error=type(error).__name__)
                    self._was_away = True
                    # All keep what they hold before anybody sweeps: a lease that ran out meanwhile is nobody's failure.
                    keep_at, sweep_at = 0.0, time.monotonic() + settings.lease_seconds
                self._finished.wait(pause)
        except BaseException:  # a panic in a library's Rust is no Exception, and this thread must not die unnoticed
            log.exception("the keeper broke")
            self._held.break_off()

    def finish(self) -> None:
        """End the thread. Nothing is renewed afterwards."""
        self._finished.set()
        self.join()

    def _keep(self) -> None:
        """Renew every lease, and write down where the running step stands."""
        asked_at = time.monotonic()
        claims = self._held.claims()
        progress = self._held.progress()
        with self._context.database.write() as session:
            lost = renew(session, claims, self._context.settings.lease_seconds)
            if self._was_away:  # else this process slept, or held the interpreter, and may do so again
                reopening.give_back(session, [claim for claim in claims if claim.token in lost])
            if progress is not None and progress[0] in claims:  # else its job's row is not locked here
                claim, now = progress
                report_progress(session, claim, now.step, now.total, now.loss, now.trace)
            reopening.seen(session, self._context.worker)
        self._was_away = False
        self._held.renewed(asked_at)
        self._held.lose(lost)

    def _look_for_ended_jobs(self) -> None:
        """Stop at once what was cancelled, or has failed elsewhere."""
        job_ids = {claim.job_id for claim in self._held.claims()}
        if job_ids:
            with self._context.database.read() as session:
                self._held.cancel(not_wanted(session, job_ids))

    def _sweep(self) -> None:
        """Open the steps of workers that are gone. Whoever is idle finds them by itself."""
        with self._context.database.write() as session:
            reopening.sweep(session, Retries.of(self._context.settings))
