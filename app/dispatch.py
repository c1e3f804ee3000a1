"""How work is announced, for both sides: the task's name, queue names, broker options, a check of it, a publisher.

A message says only that there may be work: losing, repeating or delaying one changes nothing, since workers
poll the database too. So publishing happens in a thread of its own and never holds up an answer.
"""

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

import structlog

from app.errors import Unavailable

if TYPE_CHECKING:
    from celery import Celery

TASK_WORK = "negmerge.work"
"""The one task: "look whether there is work on your queue". It takes no arguments."""

log = structlog.get_logger(__name__)


def queue_name(queue: str) -> str:
    """The broker's name for a queue of jobs."""
    return f"negmerge.{queue}"


def make_celery(broker_url: str) -> "Celery":
    """A Celery application with the settings that both sides share. The worker adds its own.

    JSON only: whoever can write to the broker must not be able to run code. No result backend: the database
    is the only truth.
    """
    # Celery is imported here and not above: the API answers before it needs it. From its own module, since the package
    # replaces itself while it is loaded: of two dispatchers that load it at once, one would find no Celery in it.
    from celery.app.base import Celery

    celery = Celery("negmerge", broker=broker_url, set_as_current=False)
    celery.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_create_missing_queues=True,
        broker_connection_retry_on_startup=True,
        broker_transport_options=transport_options(),
        enable_utc=True,
        worker_enable_remote_control=False,
    )
    return celery


def transport_options() -> dict[str, Any]:
    """How both sides talk to the broker: give up soon on a dead one, since nothing depends on it."""
    return {"socket_connect_timeout": 2.0, "socket_timeout": 10.0, "max_retries": 1, "interval_start": 0}


def check_broker(broker_url: str) -> None:
    """Raise Unavailable unless the broker answers within two seconds."""
    from redis import Redis
    from redis.exceptions import RedisError

    url = urlsplit(broker_url)
    options: dict[str, Any] = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
    try:
        if url.scheme == "redis+socket":  # kombu's way of writing it; redis-py's is unix://PATH
            client = Redis(unix_socket_path=unquote(url.path), password=url.password, **options)
        else:
            client = Redis.from_url(broker_url, **options)
        with client:
            client.ping()
    except RedisError as error:
        raise Unavailable("the broker does not answer: try again in a moment") from error


class Dispatcher:
    """Publishes "there is work" from a background thread; survives a broker that is away.

    Queues that wait to be announced are a set: announcing one twice says nothing more than once. What cannot
    be published is tried again with the next announcement or after ``retry_seconds``. A message that nobody took
    within a minute is dropped: workers have looked by themselves since then.
    """

    def __init__(self, broker_url: str, retry_seconds: float = 2.0) -> None:
        self._broker_url = broker_url
        self._retry_seconds = retry_seconds
        self._waiting: set[str] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def publish(self, queue: str) -> None:
        """Announce work on a queue. Returns at once; call it after the commit."""
        with self._changed:
            self._waiting.add(queue)
            self._changed.notify()

    def close(self) -> None:
        """Publish what waits, if that is possible at once, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        from kombu.exceptions import OperationalError

        celery = make_celery(self._broker_url)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                queues, self._waiting = self._waiting, set()
                closing = self._closing
            for queue in sorted(queues):
                try:
                    celery.send_task(TASK_WORK, queue=queue_name(queue), expires=60, retry=False)
                except (OperationalError, OSError) as error:
                    log.warning("work was not announced; workers find it by polling", cause=str(error))
                    with self._changed:
                        self._waiting.add(queue)
            if closing:
                break
            with self._changed:
                if self._waiting:  # those that failed: wait a little, unless new work comes
                    self._changed.wait(self._retry_seconds)
        celery.close()
