"""What a process with limits may have, and what becomes of one that wants more."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from negmerge import confined

MEMORY, SECONDS = 2**29, 5

READER = """
import os, signal, sys
from negmerge import confined

def read(question):
    what = question["what"]
    if what == "memory": return {"much": len(bytearray(2**31))}
    if what == "seconds":
        while True: pass
    if what == "error": raise ValueError("an error of the reader")
    if what == "exit": os._exit(3)
    if what == "chatter": print("hello")
    if what == "sleep": import time; time.sleep(60)
    if what == "kill": os.kill(os.getpid(), signal.SIGKILL)
    if what == "files": return {"opened": [open("/dev/null") for _ in range(100)] and 100}
    return {"environment": dict(os.environ), "heard": question["text"]}

if __name__ == "__main__":
    confined.answer(read)
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "a_reader.py").write_text(READER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "a_reader"


def ask(reader: str, what: str, **more: Any) -> dict[str, Any]:
    return confined.ask(reader, {"what": what, "text": "é\U0001f600"}, MEMORY, SECONDS, **more)


def test_the_answer_is_the_readers(reader: str) -> None:
    assert ask(reader, "answer")["heard"] == "é\U0001f600"


@pytest.mark.parametrize("of", ["memory", "seconds"])
@pytest.mark.slow
def test_more_than_it_may_have_is_told(reader: str, of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "SECONDS", 1)
    with pytest.raises(confined.TooMuch) as caught:
        ask(reader, of)
    assert caught.value.of == of


def test_a_reader_that_the_system_ends_may_do_better_the_next_time(reader: str) -> None:
    with pytest.raises(confined.Starved, match="the system ended the process"):
        ask(reader, "kill")


@pytest.mark.slow
def test_a_reader_that_the_clock_outruns_may_do_better_the_next_time(
    reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confined, "_SECONDS_LEFT", 1 - SECONDS)
    with pytest.raises(confined.Starved, match="more than 1 s of the clock"):
        ask(reader, "sleep")


def test_a_module_beside_strangers_files_is_not_run(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in the current folder would be imported in place of what is installed."""
    here = tmp_path / "downloaded"
    here.mkdir()
    for name in ("json", "tokenizers", "a_reader"):
        (here / f"{name}.py").write_text("raise SystemExit('code of a stranger was run')")
    monkeypatch.chdir(here)
    assert ask(reader, "answer")["heard"]


@pytest.mark.parametrize(("what", "said"), [("error", "an error of the reader"), ("files", "Too many open files")])
def test_a_reader_that_breaks_says_what_it_said_last(reader: str, what: str, said: str) -> None:
    with pytest.raises(confined.Broken, match=said):
        ask(reader, what)


@pytest.mark.parametrize("what", ["exit", "chatter"])
def test_a_reader_that_gives_no_answer_is_broken(reader: str, what: str) -> None:
    with pytest.raises(confined.Broken):
        ask(reader, what)


def test_no_key_and_no_password_goes_along(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("NEGMERGE_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "SOME_PASSWORD")
    for name in secrets:
        monkeypatch.setenv(name, "secret")
    assert not set(secrets) & ask(reader, "answer")["environment"].keys()


def test_what_a_reader_needs_goes_along(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    environment = ask(reader, "answer", inherited=("AWS_",))["environment"]
    assert environment["AWS_SECRET_ACCESS_KEY"] == "secret"
    assert environment["PATH"] == os.environ["PATH"]
