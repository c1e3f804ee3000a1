"""URIs that requests name: which are allowed, and how they are fetched without reaching a private address.

``https`` by a list of hosts, without redirects, ``file`` under allowed folders, and objects of stores (``buckets``). A
name is
resolved once, every address of it must be public, and the connection goes to that very address, with the
host's own name for TLS: a second answer of the name server can change nothing.
"""

import http.client
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from app.intake import buckets
from app.settings import Settings
from negmerge.errors import DataError, ModelError
from negmerge.progress import OnStep, ignore
from negmerge.spec.fields import MAX_PLACE
from negmerge.spec.hub import parsed

TIMEOUT_SECONDS = 30
NO_HUB = "models of a hub are not allowed here (NEGMERGE_HUB_ENDPOINT): upload the folder, or name a registry's tag"
_CHUNK = 1 << 20


def check(uri: str, settings: Settings) -> None:
    """Raise DataError, saying which setting decides, unless the URI's scheme, host, bucket or folder is allowed."""
    if local_path(uri, settings) is not None:
        return
    if _split(uri).scheme in buckets.SCHEMES:
        buckets.check(uri, settings)
    else:
        _https(uri, settings)


def check_hub(reference: str, settings: Settings) -> None:
    """Raise ModelError unless a hub is allowed and the reference names one commit of a repository."""
    if not settings.hub_endpoint:
        raise ModelError(NO_HUB)
    parsed(reference)


def local_path(uri: str, settings: Settings) -> Path | None:
    """The resolved path of a ``file:`` URI or an absolute path; None for other schemes.

    Raises DataError unless it exists below one of ``allowed_roots``, links followed.
    """
    if len(uri) > MAX_PLACE:
        raise DataError(f"{uri[:100]!r}… has {len(uri)} characters, of at most {MAX_PLACE}")
    parts = _split(uri)
    if parts.scheme not in ("", "file"):
        return None
    # a registered model's "file:/x" would be taken for a registry tag (negmerge.spec.sources)
    with_slashes = not parts.scheme or uri[len("file") :].startswith("://")
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or not with_slashes:
        raise DataError(f"{uri!r} must be an absolute path: file:///folder/file")
    try:
        path = Path(unquote(parts.path) if parts.scheme else uri).resolve()
        allowed = any(path.is_relative_to(root.resolve()) for root in settings.allowed_roots)
        exists = allowed and path.exists()
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, a NUL: no file is called so
        raise DataError(f"{uri!r} cannot be the path of a file") from None
    if not allowed:
        raise DataError(f"{uri!r} is not below an allowed folder (NEGMERGE_ALLOWED_ROOTS)")
    if not exists:
        raise DataError(f"{uri!r} does not exist")
    if not path.is_file() and not path.is_dir():
        raise DataError(f"{uri!r} is a pipe, a socket or a device: name a file or a folder")
    return path


def public_address(host: str, port: int) -> str:
    """One address of the host. Raises DataError where it has none, or where any of them is not public."""
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DataError(f"the host {host!r} cannot be resolved: {error.strerror}") from None
    addresses = [str(answer[4][0]) for answer in answers]
    for address in addresses:
        if not _is_public(address):
            raise DataError(f"the host {host!r} has the address {address}, which is not public")
    return addresses[0]


def fetch(uri: str, target: Path, settings: Settings, max_bytes: int, on_step: OnStep = ignore) -> None:
    """Download an allowed URI into ``target`` (complete or not at all): ``https``, or an object of a store.

    Raises DataError for a host that is not allowed or not public, any answer but 200 (redirects too), and a
    body that is cut off or has more than ``max_bytes``. ``on_step`` counts bytes.
    """
    if _split(uri).scheme in buckets.SCHEMES:
        buckets.fetch(uri, target, settings, max_bytes, on_step)
        return
    host, port, path = _https(uri, settings)
    connection = _Pinned(host, port, public_address(host, port))
    part = target.with_name(target.name + ".part")
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise DataError(f"{uri!r} answered {answer.status} {answer.reason}; redirects are not followed")
        _save(answer, part, max_bytes, on_step)
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{uri!r} cannot be fetched: {error}") from error
    finally:
        part.unlink(missing_ok=True)
        connection.close()


def _save(answer: http.client.HTTPResponse, part: Path, max_bytes: int, on_step: OnStep) -> None:
    total, done = answer.length or 0, 0
    if total > max_bytes:
        raise DataError(f"the file has {total} bytes; at most {max_bytes} are taken")
    with part.open("wb") as file:
        while chunk := answer.read(_CHUNK):
            done += len(chunk)
            if done > max_bytes:
                raise DataError(f"the file has more than {max_bytes} bytes")
            file.write(chunk)
            on_step(done, max(total, done), None)
        file.flush()
        os.fsync(file.fileno())
    if total > done:
        raise DataError(f"the file is cut off after {done} of {total} bytes")


class _Pinned(http.client.HTTPSConnection):
    """An HTTPS connection to one address, whatever the host's name resolves to by now."""

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._address = address

    def connect(self) -> None:
        raw = socket.create_connection((self._address, self.port), TIMEOUT_SECONDS)
        self.sock = ssl.create_default_context().wrap_socket(raw, server_hostname=self.host)


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise DataError(f"{uri!r} is not a URI: {error}") from None


def _https(uri: str, settings: Settings) -> tuple[str, int, str]:
    """Host, port and path with query of an allowed URI."""
    parts = _split(uri)
    if parts.scheme != "https":
        raise DataError(f"{uri!r} must begin with https: or file:, or be below NEGMERGE_ALLOWED_BUCKETS")
    if parts.username is not None or parts.password is not None or not parts.hostname:
        raise DataError(f"{uri!r} must name a host and no user")
    if parts.hostname not in {host.lower() for host in settings.allowed_hosts}:
        raise DataError(f"the host {parts.hostname!r} is not an allowed one (NEGMERGE_ALLOWED_HOSTS)")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if any(not "!" <= sign <= "~" for sign in path):
        raise DataError(f"{uri!r} must be percent-encoded")
    return parts.hostname, _port(uri), path


def _port(uri: str) -> int:
    try:
        return _split(uri).port or 443
    except ValueError as error:
        raise DataError(f"{uri!r} has a wrong port: {error}") from None


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo and parsed.teredo[1])
        if embedded:
            return _is_public(str(embedded))
        if parsed in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 leads to an IPv4 address
            return False
    return parsed.is_global and not parsed.is_multicast
