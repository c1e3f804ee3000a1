"""The worker's Celery application: one thread, one message at a time, nothing kept in the broker.

A message is acknowledged as it arrives and means only that there may be work. What happens to a job is in the
database; see ``work`` for the loop and ``keeper`` for the leases.
"""

from celery import Celery

from app.dispatch import make_celery, queue_name
from app.settings import Settings


def make_app(settings: Settings) -> Celery:
    """What both sides share, and the worker's own part."""
    app = make_celery(settings.broker_url)
    app.conf.update(
        task_acks_late=False,
        task_default_queue=queue_name(settings.queue),
        broker_connection_max_retries=None,  # for ever: nothing depends on the broker, and it comes back some day
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # a busy worker leaves messages to those who are idle
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
    )
    return app


def worker_arguments(settings: Settings, worker_id: str) -> list[str]:
    """The command line of ``celery``: a pool of one thread, since CUDA and forks do not go together."""
    return [
        "--quiet",
        "worker",
        "--pool=threads",
        "--concurrency=1",
        f"--queues={queue_name(settings.queue)}",
        f"--hostname={worker_id}@%h",
        "--loglevel=WARNING",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]
