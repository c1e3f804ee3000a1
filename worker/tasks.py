"""The one task. It carries nothing: it wakes the loop, and stays until the loop is idle again."""

from celery import Celery

from app.dispatch import TASK_WORK
from worker.work import Loop


def add_tasks(app: Celery, loop: Loop) -> None:
    """Register ``negmerge.work`` with ``app``."""

    @app.task(name=TASK_WORK, ignore_result=True)  # type: ignore[untyped-decorator]
    def work() -> None:
        """There may be work. While this process is busy or ending, the message says nothing new."""
        loop.wake_and_wait()
