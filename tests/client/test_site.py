"""Which service a client speaks to, and that no key goes where it should not."""

import pytest

from negmerge.client import Client, NotConfigured, Retries
from negmerge.client.logins import Login, write_login
from negmerge.client.site import checked_url, find_retries, find_site


def test_arguments_come_before_the_environment_and_that_before_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    write_login(Login(url="https://login.example.org", key="nm_login"))
    assert find_site(None, None).url == "https://login.example.org"
    monkeypatch.setenv("NEGMERGE_URL", "https://variable.example.org")
    monkeypatch.setenv("NEGMERGE_API_KEY", "nm_variable")
    assert find_site(None, None).key == "nm_variable"
    found = find_site("https://argument.example.org/", "nm_argument")
    assert (found.url, found.key) == ("https://argument.example.org", "nm_argument")


def test_without_a_service_it_is_said_how_to_name_one() -> None:
    with pytest.raises(NotConfigured, match="NEGMERGE_URL, or run `negmerge login URL`"):
        Client()


def test_the_key_of_the_login_is_for_its_own_service_alone() -> None:
    write_login(Login(url="https://login.example.org", key="nm_login"))
    with pytest.raises(NotConfigured, match="no key for https://other"):
        find_site("https://other.example.org", None)
    assert find_site("https://login.example.org/", None).key == "nm_login"


@pytest.mark.parametrize("url", ["http://10.0.0.1", "http://unlearn.example.org:8000", "http://127.0.0.1.example.org"])
def test_a_key_goes_in_the_clear_to_no_other_machine_unless_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    with pytest.raises(NotConfigured, match="in the clear"):
        find_site(url, "nm_1")
    assert find_site(url, "nm_1", allow_http=True).url == url
    monkeypatch.setenv("NEGMERGE_ALLOW_HTTP", "1")
    assert find_site(url, "nm_1").url == url


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:8000", "https://a.example"])
def test_this_machine_may_be_spoken_to_in_the_clear(url: str) -> None:
    assert checked_url(url, allow_http=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "unlearn.example.org",
        "ftp://a.example",
        "https://",
        "",
        "https://u:p@a.example",
        "https://a.example?x=1",
        "http://[",
        "https://a.example#x",
    ],
)
def test_what_is_no_services_url_is_told(url: str) -> None:
    with pytest.raises(NotConfigured):
        checked_url(url, allow_http=True)


@pytest.mark.parametrize("key", ["  ", "two words", "nm_ä", "nm_1\r\nHost: x", "x" * 1001])
def test_a_key_that_no_header_can_carry_is_refused_and_not_told(key: str) -> None:
    with pytest.raises(NotConfigured) as raised:
        find_site("https://a.example", key)
    assert key not in str(raised.value) or not key.strip()


def test_the_environment_says_how_often_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_retries() == Retries()
    monkeypatch.setenv("NEGMERGE_RETRIES", "0")
    assert find_retries().attempts == 0
    monkeypatch.setenv("NEGMERGE_RETRIES", "many")
    with pytest.raises(NotConfigured, match="NEGMERGE_RETRIES"):
        find_retries()


def test_a_service_on_this_machine_is_not_asked_through_a_proxy() -> None:
    assert not find_site("http://127.0.0.1:1", "nm_1").by_proxy
    assert find_site("https://a.example", "nm_1").by_proxy
