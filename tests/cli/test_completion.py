"""What shells offer as a command line goes on: commands, options, values. bash itself is asked."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
LINES = [
    ("negmerge jobs c", {"compare", "cancel"}),
    ("negmerge jobs list --sta", {"--state"}),
    ("negmerge jobs list --state ca", {"cancelled"}),
    ("negmerge merge --method ti", {"ties"}),
    ("negmerge run job.json --device c", {"cpu", "cuda"}),
]


def printed(command: list[str], **environment: str) -> str:
    """What a command prints where ``negmerge`` is a command."""
    environment = os.environ | environment | {"PATH": PATH}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout


def in_bash(script: str) -> str:
    return printed(["bash", "--norc", "-c", f"{script}\n:"])


@pytest.mark.slow
def test_bash_offers_commands_options_and_values() -> None:
    """bash reads the script that it is given, and is asked as a tabulator asks it."""
    script = [in_bash("negmerge --show-completion"), "complete -p negmerge"]
    for line, _ in LINES:
        words = shlex.split(line)
        script.append(f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _negmerge_completion negmerge")
        script.append('echo "${COMPREPLY[@]}"')
    used, *offers = in_bash("\n".join(script)).splitlines()
    assert used == "complete -o default -F _negmerge_completion negmerge"
    assert [set(offer.split()) for offer in offers] == [offer for _, offer in LINES]


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_own_way(shell: str) -> None:
    """zsh takes what it is told for a script of its own; fish takes a line for each offer."""
    line, offer = LINES[2]
    environment = {"_NEGMERGE_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    told = printed(["negmerge"], **environment, _TYPER_COMPLETE_FISH_ACTION="get-args")
    found = re.findall(r'"(\w+)"', told) if shell == "zsh" else told.split()
    assert set(found) == offer


@pytest.mark.slow
def test_it_is_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    printed(["bash", "--norc", "-c", "negmerge --install-completion; :"], HOME=str(tmp_path))
    assert ".bash_completions/negmerge.sh" in (tmp_path / ".bashrc").read_text()
    assert "_negmerge_completion" in (tmp_path / ".bash_completions" / "negmerge.sh").read_text()
