"""Nobody is left alone with a silent terminal: what goes on is said, and said again while nothing else is."""

import io
import re
import subprocess
import sys
import threading
from pathlib import Path

from tooling.beat import SECONDS, Beat

ROOT = Path(__file__).parents[2]


class Heard(io.StringIO):
    """A stream that one can wait at for lines that match."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted: re.Pattern[str] | None = None
        self.matched = threading.Event()

    def wait_for(self, pattern: str) -> bool:
        self._wanted = re.compile(pattern)
        return self.matched.wait(30)

    def write(self, text: str) -> int:
        written = super().write(text)
        if self._wanted and self._wanted.search(text):
            self.matched.set()
        return written


def test_what_is_silent_for_a_while_is_said_to_go_on_and_how_far_it_is() -> None:
    heard = Heard()
    beat = Beat(heard, seconds=0.02)
    with beat.beating():
        beat.begin("a model learns")
        beat.at("step 3 of 7")
        assert heard.wait_for(r"  a model learns: step 3 of 7, \d+ s")
    assert heard.getvalue().splitlines()[0] == "a model learns …"


def test_what_speaks_for_itself_is_not_interrupted() -> None:
    heard = io.StringIO()
    beat = Beat(heard, seconds=3600)
    with beat.beating():
        beat.begin("a job runs")
        beat.say("point 1 of 2")
        beat.say("point 2 of 2")
    assert heard.getvalue() == "a job runs …\npoint 1 of 2\npoint 2 of 2\n"


def test_nobody_is_left_to_speak_after_the_end() -> None:
    heard, before = Heard(), threading.enumerate()
    beat = Beat(heard, seconds=0.01)
    with beat.beating():
        beat.begin("a job runs")
        assert heard.wait_for("  a job runs: ")
    assert threading.enumerate() == before


def test_lines_of_many_threads_are_never_glued_together() -> None:
    heard = io.StringIO()
    beat = Beat(heard, seconds=0.0)

    def talk() -> None:
        for _ in range(200):
            beat.say("a whole line")

    with beat.beating():
        beat.begin("all talk at once")
        threads = [threading.Thread(target=talk) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = heard.getvalue().splitlines()
    assert lines.count("a whole line") == 800
    assert {line for line in lines if not line.startswith("  all talk at once: ")} == {
        "a whole line",
        "all talk at once …",
    }


def test_a_command_keeps_its_output_and_its_status() -> None:
    command = [sys.executable, str(ROOT / "tooling" / "beat.py"), "a command fails"]
    script = "import sys; print(sys.stdin.read()); sys.exit(3)"
    done = subprocess.run(
        [*command, sys.executable, "-c", script], input="given", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "given\n", "a command fails …\n")


def test_a_line_comes_within_the_five_seconds_that_people_are_promised() -> None:
    assert SECONDS < 5
