"""The loop of a worker: claim what is due, do it, fold it, until nothing is left. Read it after ``app.record.steps``.

One thread computes, whoever wakes it: a message, or its own look at the record every ``poll_seconds``. So an
empty broker, or none, costs a second and no job. What a step needs is loaded with the first of its kind, or ``ahead``.
"""

import threading
import time
from typing import TYPE_CHECKING

import structlog
import torch

from app.record import db, reopening
from app.record.leases import Claim, LostClaim, claim_next
from app.record.retries import Retries
from app.record.states import StepKind
from app.store.objects import StoreUnavailable
from negmerge.errors import NegmergeError
from worker import cache
from worker.ahead import Ahead
from worker.backoff import Backoff
from worker.causes import cause_of, lacks_room, may_pass
from worker.context import WorkerContext
from worker.fold import Fold
from worker.held_claims import HeldClaims, Reason, Stopped

if TYPE_CHECKING:
    from negmerge.merging.partial import Partial
    from worker.loaded_job import LoadedJob

log = structlog.get_logger(__name__)

_AWAY = (*db.AWAY, StoreUnavailable)


class Loop(threading.Thread):
    """The computing thread. It ends soon after ``stop``, with everything flushed or given back."""

    def __init__(self, context: WorkerContext, held: HeldClaims) -> None:
        super().__init__(name="loop", daemon=True)
        self._context = context
        self._held = held
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._ahead = Ahead()
        self._loaded: LoadedJob | None = None
        self._fold: Fold | None = None
        self._backoff = Backoff(context.settings.poll_seconds)

    def wake_and_wait(self) -> None:
        """There may be work: look now. Returns when there is none left, or the process is to end."""
        self._idle.clear()
        if self._held.stopping:  # asked after the line above: the thread may have ended, and set it for good, before
            return
        self._wake.set()
        self._idle.wait()

    def stop(self) -> None:
        """Stop the running step, flush, and end. A signal handler may call it."""
        self._held.shut_down()
        self._wake.set()

    def run(self) -> None:
        """Work whenever there is something to do. An error that nobody foresaw ends the process."""
        torch.set_num_threads(self._context.settings.cpu_threads)  # here: it is per thread, and comes first
        try:
            while not self._held.stopping:
                self._wake.clear()
                self._work_until_idle()
                self._idle.set()
                self._wake.wait(self._backoff.seconds)
            self._leave()
        except BaseException:  # a panic in a library's Rust is no Exception, and this thread must not die unnoticed
            log.exception("the loop broke")
            self._held.break_off()
        finally:
            self._idle.set()

    def _work_until_idle(self) -> None:
        try:
            while not self._held.stopping and self._work_once():
                pass
        except _AWAY as error:
            self._backoff.failed()
            log.warning("the record or the store does not answer", error=type(error).__name__)

    def _work_once(self) -> bool:
        """Do one step, or flush where there is none. False where there was nothing to do, or it went wrong."""
        context = self._context
        asked_at = time.monotonic()
        with context.database.write() as session:
            claim = claim_next(session, context.worker, context.settings.lease_seconds)
        if claim is None:
            return self._rest()
        self._held.begin(claim, asked_at)
        try:
            with structlog.contextvars.bound_contextvars(job=claim.job_id, step=claim.kind, index=claim.index):
                return self._do(claim)
        finally:
            self._held.end()

    def _rest(self) -> bool:
        """Nothing is left to claim: commit what is folded, make ready for what may come, forget what nobody needs."""
        if self._fold is not None and self._fold.flush():
            return True
        if self._ahead.load_one():
            return True
        cache.tidy(self._context.database, self._context.cache)
        if self._loaded is not None:
            with self._context.database.read() as session:
                active = cache.is_active(session, self._loaded.job_id)
            if not active:
                self._loaded = self._fold = None
        return False

    def _do(self, claim: Claim) -> bool:
        """Do a step, whatever becomes of it. False where the next look should wait."""
        try:
            self._step(claim)
        except Stopped as stopped:
            log.info("step stopped", reason=stopped.reason)
            if stopped.reason is not Reason.LOST:
                self._give_back(claim)
            if stopped.reason is Reason.CANCELLED and self._fold is not None:
                self._fold.give_up()
        except LostClaim as lost:
            log.info("step lost", error=str(lost))
            self._give_back(claim)  # it may be ours still, and the job cancelled
        except _AWAY:
            self._give_back(claim)
            raise
        except torch.AcceleratorError:  # the CUDA context is lost; out of memory is another class
            log.exception("the device failed")
            self._give_back(claim)
            self._held.break_off()
        except NegmergeError as error:
            return self._went_wrong(claim, error, final=not may_pass(error))
        except Exception as error:
            log.exception("step failed")
            return self._went_wrong(claim, error, final=False)
        self._backoff.succeeded()
        return True

    def _went_wrong(self, claim: Claim, error: Exception, *, final: bool) -> bool:
        """Fail the step, which then waits in the record; or give it back uncounted where the machine has no room.

        Returns whether to look on at once: other steps are due whatever became of this one, but not for want of room.
        """
        if not lacks_room(error):
            log.warning("step failed", error=str(error), final=final)
            self._fail(claim, error, final=final)
            return True
        log.error("the disk is full, so the step is given back", error=str(error))
        self._give_back(claim)
        self._backoff.failed()
        return False

    def _step(self, claim: Claim) -> None:
        log.info("step begins", attempt=claim.attempt)
        if self._fold is not None and self._fold.job_id != claim.job_id:
            self._fold.flush()
            self._fold = None
        if self._loaded is not None and self._loaded.job_id != claim.job_id:
            self._loaded = None
        if claim.kind is StepKind.PREPARE:
            from worker.prepare import prepare_step

            self._loaded = prepare_step(self._context, claim, self._held.on_step)
            return
        from worker.loaded_job import load_job

        loaded = self._loaded = self._loaded or load_job(self._context, claim, self._held.on_step)
        if claim.kind is StepKind.CONCLUDE:
            from worker.conclude import conclude_step

            conclude_step(self._context, loaded, claim, self._held.on_step)
            return
        if claim.kind is StepKind.RIVAL:
            from worker.rival import rival_step

            rival_step(self._context, loaded, claim, self._on_step)
            return
        from worker.tune import tune_step

        tune_step(self._context, loaded, self._fold_for(loaded, claim.repeat), claim, self._on_step)

    def _fold_for(self, loaded: "LoadedJob", repeat: int) -> Fold:
        """The fold of this repeat of the job's sweep; that of another is committed first."""
        if self._fold is not None and self._fold.repeat != repeat:
            self._fold.flush()
            self._fold = None
        if self._fold is None:

            def empty() -> "Partial":
                from negmerge.pipeline.tune import new_partial

                return new_partial(loaded.spec, loaded.model)

            self._fold = Fold(self._context, self._held, loaded.job_id, empty, repeat)
        return self._fold

    def _on_step(self, step: int, total: int, loss: float | None) -> None:
        """What every step of a training calls: it may have to stop, and what is folded may have to be committed."""
        self._held.on_step(step, total, loss)
        if self._fold is not None:
            self._fold.flush_if_due()

    def _give_back(self, claim: Claim) -> None:
        with self._context.database.write() as session:
            reopening.give_back(session, [claim])

    def _fail(self, claim: Claim, error: Exception, *, final: bool) -> None:
        with self._context.database.write() as session:
            reopening.fail_step(session, claim, cause_of(error), Retries.of(self._context.settings), final)

    def _leave(self) -> None:
        """Commit what is folded; without a record or a store to commit it to, its leases run out."""
        try:
            if self._fold is not None:
                self._fold.flush()
        except _AWAY as error:
            log.warning("left without a flush", error=type(error).__name__)
