"""The real service in a process of its own, which a real SIGKILL ends in the middle of an answer."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import MutableMapping
from typing import Any

import uvicorn

from app.main import create_app
from app.settings import Settings

Message = MutableMapping[str, Any]
Process = subprocess.Popen[bytes]


def start(settings: Settings, listener: socket.socket, *, method: str, path: str, after: int) -> Process:
    """Serve on a socket that listens already. The process is killed in the first answer to such a request.

    after: bytes of the body that are sent first; -1 kills it before the answer begins, when all is committed. The
    socket outlives the process, so that a client's next connection waits for the next process.
    """
    told = [settings.model_dump_json(), str(listener.fileno()), method, path, str(after)]
    return subprocess.Popen([sys.executable, "-m", __name__, *told], pass_fds=[listener.fileno()])


def main(settings: str, descriptor: str, method: str, path: str, after: str) -> None:
    """The process."""
    app = create_app(Settings.model_validate_json(settings))

    async def killed(scope: Any, receive: Any, send: Any) -> None:
        sent = 0

        async def sending(message: Message) -> None:
            nonlocal sent
            if message["type"] == "http.response.start" and int(after) < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            body = message.get("body", b"")
            if sent + len(body) > int(after) >= 0:
                await send({**message, "body": body[: int(after) - sent], "more_body": True})
                os.kill(os.getpid(), signal.SIGKILL)
            sent += len(body)
            await send(message)

        meant = scope["type"] == "http" and (scope["method"], scope["path"]) == (method, path)
        await app(scope, receive, sending if meant else send)

    uvicorn.run(killed, fd=int(descriptor), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
