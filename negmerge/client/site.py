"""Which service a client speaks to, and with which key: from arguments, the environment, or the file of ``login``.

The key goes to that service alone: redirects are not followed, and a plain ``http:`` URL of another machine is refused.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from negmerge import __version__
from negmerge.client.effects import Retries
from negmerge.client.errors import NotConfigured
from negmerge.client.logins import Login, read_login
from negmerge.naming import shown

URL_VARIABLE = "NEGMERGE_URL"
KEY_VARIABLE = "NEGMERGE_API_KEY"
HTTP_VARIABLE = "NEGMERGE_ALLOW_HTTP"
RETRIES_VARIABLE = "NEGMERGE_RETRIES"
_HOST = re.compile(r"[\w.:-]+")


@dataclass(frozen=True)
class Site:
    """A service's URL, without a slash at its end, and the key for it."""

    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries. Answers come as they are stored, so that bytes can be counted and digested."""
        return {
            "Authorization": f"Bearer {self.key}",
            "User-Agent": f"negmerge/{__version__}",
            "Accept-Encoding": "identity",
        }

    @property
    def by_proxy(self) -> bool:
        """Whether the environment's proxies and certificates are heeded: not for a service on this machine."""
        return not _is_here(httpx.URL(self.url).host)


def find_site(url: str | None, key: str | None, *, allow_http: bool | None = None) -> Site:
    """The service to speak to. What is not given is in the environment, or in the file that ``login`` wrote.

    The key of that file is for its own URL alone. Raises NotConfigured where something is missing or unsafe.
    """
    login: Login | None = None
    url, key = url or os.environ.get(URL_VARIABLE), key or os.environ.get(KEY_VARIABLE)
    if not (url and key):
        login = read_login()
    if not url:
        if login is None:
            raise NotConfigured(f"which service? Give its URL, set {URL_VARIABLE}, or run `negmerge login URL`")
        url = login.url
    allow_http = _allowed(os.environ) if allow_http is None else allow_http
    url = checked_url(url, allow_http=allow_http or (login is not None and login.allow_http and login.url == url))
    if not key:
        if login is None or login.url != url:
            raise NotConfigured(
                f"there is no key for {url}: give one, set {KEY_VARIABLE}, or run `negmerge login {url}`"
            )
        key = login.key
    return Site(url, checked_key(key))


def find_retries() -> Retries:
    """How often a request is tried again: as the environment says, else as usual. Raises NotConfigured."""
    told = os.environ.get(RETRIES_VARIABLE, "").strip()
    if not told:
        return Retries()
    if not re.fullmatch(r"[0-9]{1,3}", told):
        raise NotConfigured(f"{RETRIES_VARIABLE} is {shown(told)}: set it to a number, 0 to try once")
    return Retries(attempts=int(told))


def checked_url(url: str, *, allow_http: bool) -> str:
    """The URL as requests are built on it. Raises NotConfigured where it is none, or no key may be sent to it."""
    try:
        found = httpx.URL(url.strip().rstrip("/"))
    except httpx.InvalidURL as error:
        raise NotConfigured(f"{shown(url)} is no URL: {error}") from None
    if found.scheme not in ("http", "https") or not _HOST.fullmatch(found.host):
        raise NotConfigured(f"{shown(url)} is no URL of a service: write it such as https://unlearn.example.org")
    if found.userinfo or found.query or found.fragment:
        raise NotConfigured("the service's URL has a user, a query or a fragment: give it without, and the key as key")
    if found.scheme == "http" and not allow_http and not _is_here(found.host):
        raise NotConfigured(
            f"{shown(str(found))} would carry the key in the clear: use https, or allow it for a network that you "
            f"trust ({HTTP_VARIABLE}=1, allow_http=True, --allow-http)"
        )
    return str(found)


def checked_key(key: str) -> str:
    """The key as a header carries it. Raises NotConfigured; never tells the key."""
    key = key.strip()
    if not key or not all("!" <= sign <= "~" for sign in key) or len(key) > 1000:
        raise NotConfigured("the API key is empty, or has signs that no key has: it looks like nm_…")
    return key


def _allowed(environment: Mapping[str, str]) -> bool:
    return environment.get(HTTP_VARIABLE, "").strip().lower() in ("1", "true", "yes")


def _is_here(host: str) -> bool:
    """Whether the name can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
