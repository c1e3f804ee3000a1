"""The file that ``negmerge login`` writes: one service's URL and key, for its owner's eyes alone."""

import json
import os
import secrets
import stat
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from negmerge.client.errors import NotConfigured
from negmerge.naming import visible

MAX_BYTES = 64 * 2**10
_OTHERS_MAY_WRITE = 0o022
_OTHERS_MAY_ANYTHING = 0o077


class Login(BaseModel):
    """A service and the key for it."""

    model_config = ConfigDict(frozen=True)

    url: str
    key: str
    allow_http: bool = False


def login_file() -> Path:
    """Where it lies: ``$XDG_CONFIG_HOME/negmerge/login.json``, by default below ``~/.config``."""
    given = os.environ.get("XDG_CONFIG_HOME", "")
    home = Path(given) if Path(given).is_absolute() else Path.home() / ".config"  # a relative one is to be ignored
    return home / "negmerge" / "login.json"


def write_login(login: Login) -> Path:
    """Write the file, readable by its owner alone, and whole or not at all. A link in its place is replaced.

    Raises NotConfigured where the folder is another user's, or others may write to it.
    """
    path = login_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.parent.stat()
    if found.st_uid != os.geteuid() or found.st_mode & _OTHERS_MAY_WRITE:
        raise NotConfigured(f"others may change what is in {_seen(path.parent)}: chmod go-w it, or make it yours")
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask
            json.dump(login.model_dump(), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return path


def read_login() -> Login | None:
    """What the file holds; None where there is none.

    Raises NotConfigured where it is a link, another user's, or others may read it.
    """
    path = login_file()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would be waited for
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise NotConfigured(f"{_seen(path)} cannot be read ({error.strerror}): run `negmerge login` again") from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise NotConfigured(f"{_seen(path)} is no file of yours: remove it, and run `negmerge login` again")
        if found.st_mode & _OTHERS_MAY_ANYTHING:
            raise NotConfigured(f"others may read the key in {_seen(path)}: revoke it, and run `negmerge login` again")
        content = file.read(MAX_BYTES)
    try:
        return Login.model_validate_json(content)
    except ValidationError:
        raise NotConfigured(f"{_seen(path)} is damaged: run `negmerge login` again") from None


def _seen(path: Path) -> str:
    return visible(str(path))
