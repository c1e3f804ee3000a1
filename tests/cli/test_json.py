"""``--json``: every command prints one JSON document on stdout, and nothing else there."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import save_file

from negmerge.cli.main import app
from negmerge.spec.job_resources import DryRun, Job, Result
from negmerge.spec.resources import Dataset, Matches, Model
from tests.client.test_asking import example
from tests.client.test_events import job
from tests.data.test_hashes import TILES, saved
from tests.support.archive_files import write_zip
from tests.support.command_line import Command, Done
from tests.support.faulty import Answer, Faulty, give

LONG = {"run", "evaluate", "push", "track", "export"}
"""Commands whose JSON is looked at where they are tested, since each takes seconds."""


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(leaves(typer.main.get_command(app)))


@pytest.fixture
def place(models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the commands below are given: weights, a checkpoint, a data set, a picture, a spec; and the key on stdin."""
    save_file({"w": torch.tensor([0.5, 0.0, -2.0])}, models / "tau.safetensors")
    torch.save({"model": {"w": torch.zeros(3)}}, models / "a.pth")
    write_zip(models / "set.zip", {f"{'ab'[n % 2]}/{n}.png": saved(tile) for n, tile in enumerate(TILES)})
    (models / "me.bmp").write_bytes(saved(TILES[2], "BMP"))
    (models / "job.json").write_text("{}")
    monkeypatch.chdir(models)
    monkeypatch.setattr(sys, "stdin", io.StringIO("nm_0123456789_secret\n"))
    return models


def page(kind: Any) -> Answer:
    return give(200, b'{"data": [' + example(kind) + b'], "next_cursor": null}')


def finds() -> Answer:
    found = {"file": "me.bmp", "candidates": [{"id": "a/2.png", "distance": 0, "exact": True}]}
    return give(200, Matches.model_validate({"matches": [found]}).model_dump_json().encode())


DONE = give(200, job("succeeded", outcome="unlearned"))
EMPTY = give(200, b'{"data": [], "next_cursor": null}')
CASES: dict[str, tuple[str, list[Answer], Callable[[Any], bool]]] = {
    "merge": (
        "--base base.safetensors --tuned a.safetensors b.safetensors --out out.safetensors",
        [],
        lambda told: told["consensus"]["tensors"] == {"w": 1 / 3} and told["warnings"] == [],
    ),
    "apply": (
        "base.safetensors tau.safetensors --scale 1 --out out.safetensors",
        [],
        lambda told: told["file"] == "out.safetensors" and told["digest"].startswith("sha256:"),
    ),
    "convert": ("a.pth --out w.safetensors", [], lambda told: told["file"] == "w.safetensors"),
    "inspect": (
        "tau.safetensors",
        [],
        lambda told: [(one["name"], one["shape"], one["nonzero"]) for one in told["tensors"]] == [("w", [3], 2 / 3)],
    ),
    "match": ("set.zip me.bmp", [], lambda told: told["matches"][0]["candidates"][0]["id"] == "a/2.png"),
    "login": ("URL", [page(Job)], lambda told: told["file"].endswith("login.json")),
    "jobs submit": ("job.json", [give(202, job("queued"))], lambda told: told["state"] == "queued"),
    "jobs submit --dry-run": ("job.json", [give(200, example(DryRun))], lambda told: told["valid"]),
    "jobs submit --watch": ("job.json", [give(202, job("queued")), DONE], lambda told: told["outcome"] == "unlearned"),
    "jobs list": ("", [page(Job)], lambda told: len(told) == 1),
    "jobs watch": ("job_1", [DONE], lambda told: told["state"] == "succeeded"),
    "jobs result": ("job_1", [give(200, example(Result))], lambda told: told["scale"] == 0.95),
    "jobs compare": ("job_1 job_2", [give(200, example(Result))] * 2, lambda told: told[0]["what"] == "outcome"),
    "jobs cancel": ("job_1", [give(202, job("tuning", cancel_requested=True))], lambda told: told["cancel_requested"]),
    "jobs delete": ("job_1", [give(204)], lambda told: told == {"deleted": "job_1"}),
    "jobs download": ("job_1", [DONE, EMPTY], lambda told: told == {"files": []}),
    "datasets add": ("set.zip", [give(201, example(Dataset))], lambda told: told["name"] == "digits"),
    "datasets list": ("", [page(Dataset)], lambda told: len(told) == 1),
    "datasets match": ("ds_1 me.bmp", [finds()], lambda told: told["matches"][0]["file"] == "me.bmp"),
    "datasets delete": ("ds_1", [give(204)], lambda told: told == {"deleted": "ds_1"}),
    "models add": ("base.safetensors", [give(201, example(Model))], lambda told: told["family"] == "open_clip"),
    "models list": ("", [page(Model)], lambda told: len(told) == 1),
    "models delete": ("mdl_1", [give(204)], lambda told: told == {"deleted": "mdl_1"}),
}


def test_every_command_is_looked_at() -> None:
    assert {name.partition(" --")[0] for name in CASES} | LONG == ALL.keys()


@pytest.mark.parametrize("name", ALL)
def test_every_command_can_be_asked_for_json(name: str) -> None:
    assert "--json" in [option for parameter in ALL[name].params for option in parameter.opts]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "convert" else name for name in CASES]
)
def test_stdout_is_one_document(negmerge: Command, server: Faulty, place: Path, name: str) -> None:
    arguments, answers, right = CASES[name]
    server.will(*answers)
    done = negmerge(*name.split(), *arguments.replace("URL", server.url).split(), "--json")
    assert done.returncode == 0, done
    assert right(strictly(done))


def strictly(done: Done) -> Any:
    """The document on stdout, as JSON itself has it: no NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(done.stdout, parse_constant=refuse)


def test_what_is_not_finite_is_null(negmerge: Command, tmp_path: Path) -> None:
    save_file({"w": torch.tensor([float("inf")])}, tmp_path / "w.safetensors")
    assert strictly(negmerge("inspect", tmp_path / "w.safetensors", "--json"))["tensors"][0]["norm"] is None


def test_no_sign_that_cannot_be_seen_reaches_a_terminal(negmerge: Command, server: Faulty) -> None:
    name = "\x9b31mü\u202e\U000e0041"
    server.will(
        give(200, json.dumps({"data": [json.loads(example(Dataset, name=name))], "next_cursor": None}).encode())
    )
    done = negmerge("datasets", "list", "--json")
    assert strictly(done)[0]["name"] == name
    assert "ü" in done.stdout
    assert all(sign.isprintable() or sign == "\n" for sign in done.stdout)


@pytest.mark.parametrize(("state", "status"), [("failed", 5), ("cancelled", 6)])
def test_a_job_that_has_no_result_is_printed_all_the_same(
    negmerge: Command, server: Faulty, state: str, status: int
) -> None:
    server.will(give(200, job(state, problem={"type": "x", "detail": "no room"})))
    done = negmerge("jobs", "watch", "job_1", "--json")
    assert done.returncode == status
    assert strictly(done)["problem"]["detail"] == "no room"
    assert "no room" in done.stderr
