"""The file with the key: for its owner's eyes, whatever lies in its place."""

import os
import stat
from pathlib import Path

import pytest

from negmerge.client import NotConfigured
from negmerge.client.logins import Login, login_file, read_login, write_login

LOGIN = Login(url="https://unlearn.example.org", key="nm_1_secret")


def test_what_was_written_is_read() -> None:
    assert read_login() is None
    assert write_login(LOGIN) == login_file()
    assert read_login() == LOGIN


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_nobody_else_may_read_it_whatever_the_umask(umask: int) -> None:
    login_file().parent.mkdir(parents=True, mode=0o700)
    before = os.umask(umask)
    try:
        write_login(LOGIN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(login_file().stat().st_mode) == 0o600


def test_a_link_in_its_place_is_replaced_and_what_it_leads_to_is_not_touched(tmp_path: Path) -> None:
    login_file().parent.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("mine")
    login_file().symlink_to(tmp_path / "elsewhere")
    write_login(LOGIN)
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not login_file().is_symlink()


def test_a_link_is_not_read(tmp_path: Path) -> None:
    write_login(LOGIN)
    login_file().rename(tmp_path / "elsewhere")
    login_file().symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotConfigured, match="run `negmerge login` again"):
        read_login()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_one_that_others_may_read_or_change_is_not_used(mode: int) -> None:
    write_login(LOGIN)
    login_file().chmod(mode)
    with pytest.raises(NotConfigured, match="others may read the key"):
        read_login()


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_none_is_written_where_others_may_replace_it(mode: int) -> None:
    login_file().parent.mkdir(parents=True)
    login_file().parent.chmod(mode)
    with pytest.raises(NotConfigured, match="chmod go-w"):
        write_login(LOGIN)
    assert list(login_file().parent.iterdir()) == []


def test_a_pipe_in_its_place_is_not_waited_for() -> None:
    login_file().parent.mkdir(parents=True)
    os.mkfifo(login_file(), 0o600)
    with pytest.raises(NotConfigured, match="no file of yours"):
        read_login()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "https://a"}'])
def test_a_damaged_one_is_told(text: str) -> None:
    write_login(LOGIN)
    login_file().write_text(text)
    with pytest.raises(NotConfigured, match="damaged"):
        read_login()


def test_a_relative_folder_of_configuration_is_not_heeded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert login_file() == tmp_path / ".config" / "negmerge" / "login.json"
