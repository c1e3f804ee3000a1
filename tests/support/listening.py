"""The application under a real uvicorn, in a thread of the tests' own process."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from app.main import create_app
from app.settings import Settings


@contextmanager
def listening(settings: Settings) -> Iterator[int]:
    """The service under uvicorn; its port."""
    with under_uvicorn(create_app(settings)) as port:
        yield port


@contextmanager
def under_uvicorn(app: FastAPI) -> Iterator[int]:
    """uvicorn with a socket that listens already; its port."""
    bound = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def wait_for(happened: Callable[[], bool]) -> None:
    """Until it happened, ten seconds at most."""
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)
