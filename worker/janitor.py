"""The janitor: the thread of a worker that collects stored objects which nobody needs, or has used for long.

It is neither the keeper's nor the loop's: a store that does not answer takes a minute to say so, and must keep
neither the leases nor the next step waiting.
"""

import threading
import time

import structlog

from app.record import db, decoded
from app.store import garbage
from app.store.objects import StoreUnavailable
from worker.context import WorkerContext
from worker.held_claims import HeldClaims

log = structlog.get_logger(__name__)

_AT_ONCE = 200
_FINISH_SECONDS = 5.0
_EXPIRE_SECONDS = 60.0


class Janitor(threading.Thread):
    """Looks once in ``renew_seconds``, however busy or idle the worker is, until ``finish`` is called."""

    def __init__(self, context: WorkerContext, held: HeldClaims) -> None:
        super().__init__(name="janitor", daemon=True)
        self._context = context
        self._held = held
        self._finished = threading.Event()
        self._expire_at = 0.0

    def run(self) -> None:
        """Collect until the end. An outage costs one look; an error that nobody foresaw ends the process."""
        try:
            while not self._finished.wait(self._context.settings.renew_seconds):
                try:
                    self._collect()
                except (*db.AWAY, StoreUnavailable) as error:
                    log.warning("nothing collected", error=type(error).__name__)
        except BaseException:  # a panic in a library's Rust is no Exception, and this thread must not die unnoticed
            log.exception("the janitor broke")
            self._held.break_off()

    def finish(self) -> None:
        """End the thread. One that waits for a store is left behind: what it would do, others do as well."""
        self._finished.set()
        self.join(_FINISH_SECONDS)

    def _collect(self) -> None:
        context, found = self._context, _AT_ONCE
        if time.monotonic() >= self._expire_at:
            with context.database.write() as session:
                decoded.expire(session, 3600 * context.settings.decoded_hours)
            self._expire_at = time.monotonic() + _EXPIRE_SECONDS
        while found == _AT_ONCE and not self._finished.is_set():
            found = garbage.collect(context.database, context.store, context.settings.upload_grace_seconds, _AT_ONCE)
