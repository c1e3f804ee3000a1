"""``negmerge jobs``, ``datasets``, ``models``, ``login`` on a real service: status, stdout, what is left behind."""

import csv
import hashlib
import io
import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from negmerge.client import waiting
from negmerge.client.logins import Login, login_file, read_login
from negmerge.spec.job_resources import Result
from tests.client.test_asking import example, problem
from tests.client.test_downloads import stored
from tests.client.test_events import job
from tests.support.api_client import Api, digits_zip, serving
from tests.support.command_line import Command, Done, assert_refused
from tests.support.faulty import Faulty, give
from tests.support.listening import listening

COMMANDS = [
    ["jobs", "list"],
    ["jobs", "watch", "job_1"],
    ["jobs", "result", "job_1"],
    ["jobs", "cancel", "job_1"],
    ["jobs", "delete", "job_1"],
    ["jobs", "download", "job_1"],
    ["jobs", "compare", "job_1", "job_2"],
    ["datasets", "list"],
    ["datasets", "delete", "ds_1"],
    ["models", "list"],
    ["models", "delete", "mdl_1"],
    ["models", "add", "--weights", "openai", "--architecture", "ViT-B-32"],
]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, broker_url: str) -> Iterator[tuple[Api, str]]:
    """A real service without workers, and its URL."""
    folder = tmp_path_factory.mktemp("remote")
    settings = Settings(data_dir=folder, broker_url=broker_url)
    with serving(settings) as served, listening(settings) as port:
        yield served, f"http://127.0.0.1:{port}"


@pytest.fixture
def signed_in(api: tuple[Api, str], monkeypatch: pytest.MonkeyPatch) -> Api:
    """The real service, with a key for it in the environment."""
    served, url = api
    monkeypatch.setenv("NEGMERGE_URL", url)
    monkeypatch.setenv("NEGMERGE_API_KEY", served.key()["Authorization"].removeprefix("Bearer "))
    return served


def said(done: Done) -> Any:
    """What was printed, which is JSON and nothing else."""
    assert done.returncode == 0, done
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_service_every_command_says_how_to_name_one(negmerge: Command, command: list[str]) -> None:
    assert_refused(negmerge(*command), "NEGMERGE_URL", "negmerge login")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_takes_json_and_tells_a_refusal_in_one_line(
    negmerge: Command, server: Faulty, command: list[str]
) -> None:
    server.will(*[give(**problem(403, "forbidden", detail="the key lacks the scope 'write'"))] * 2)
    assert_refused(negmerge(*command, "--json"), "lacks the scope")


@pytest.mark.parametrize(
    "uri", ["hf-hub:me/vit@0123456789abcdef0123456789abcdef01234567", "https://models.example/m.zip"]
)
def test_a_model_that_lies_elsewhere_is_registered_and_not_looked_for_here(
    negmerge: Command, signed_in: Api, uri: str
) -> None:
    """This service allows neither, and says so of what it was asked to register."""
    assert_refused(negmerge("models", "add", uri, "--family", "timm"), "allowed")


def test_a_result_is_shown_with_the_status_of_its_outcome(negmerge: Command, server: Faulty) -> None:
    server.will(give(200, example(Result, outcome="below_target")), give(200, example(Result)))
    done = negmerge("jobs", "result", "job_1")
    assert done.returncode == 3
    assert "negmerge  0.95     5.0 %   5.0 %" in done.stdout
    assert said(negmerge("jobs", "result", "job_1", "--json"))["outcome"] == "unlearned"


def test_jobs_are_compared_where_they_differ(negmerge: Command, server: Faulty) -> None:
    document = json.loads(example(Result))
    other = document | {"spec": document["spec"] | {"metadata": {"ticket": "=1+1"}}, "scale": 0.5}
    server.will(*[give(200, json.dumps(one).encode()) for one in (document, other)] * 2)
    done = negmerge("jobs", "compare", "job_1", "job_2", "--csv")
    rows = list(csv.reader(io.StringIO(done.stdout)))
    assert rows[0] == ["", "job_1", "job_2"]
    assert rows[1] == ["/metadata/ticket", "DSR-1234", "'=1+1"]
    assert ["negmerge forget accuracy", "0.05", "0.05"] in rows
    assert not [row for row in rows if row[0].startswith("/base_model")]
    told = said(negmerge("jobs", "compare", "job_1", "job_2", "--json"))
    assert told[0] == {"what": "/metadata/ticket", "job_1": "DSR-1234", "job_2": "=1+1"}


def test_a_table_of_jobs_is_read_at_a_glance_and_json_has_all(negmerge: Command, server: Faulty) -> None:
    document = json.loads(example(Result))
    ids = [f"seven/{number:04}.png" for number in range(500)]
    other = json.loads(json.dumps(document))
    other["spec"]["forget"]["select"] = {"ids": ids}
    server.will(*[give(200, json.dumps(one).encode()) for one in (document, other)] * 2)
    table = negmerge("jobs", "compare", "job_1", "job_2").stdout
    assert max(map(len, table.splitlines())) < 150
    assert re.search(r"negmerge forget accuracy +5\.0 % +5\.0 %", table)
    assert '["seven/0000.png", "seven/0001.png", "s…' in table
    told = said(negmerge("jobs", "compare", "job_1", "job_2", "--json"))
    assert json.dumps(ids) in [row["job_2"] for row in told]


@pytest.mark.parametrize(("asked", "called"), [((), ""), (("--scale", "0.6"), "-scale-0.6")])
def test_weights_at_another_scale_are_kept_under_another_name(
    negmerge: Command, server: Faulty, tmp_path: Path, asked: tuple[str, ...], called: str
) -> None:
    result = json.loads(example(Result))
    result["digests"]["unlearned"] = f"sha256:{hashlib.sha256(b'w').hexdigest()}"
    server.will(*[give(200, json.dumps(result).encode())] * (not asked), stored(b"w"), stored(b"w"))
    done = negmerge("jobs", "download", "job_1", "--weights", "--out", tmp_path, *asked)
    assert (tmp_path / f"job_1-unlearned{called}.safetensors").read_bytes() == b"w", done


def test_one_job_alone_is_not_compared(negmerge: Command) -> None:
    assert_refused(negmerge("jobs", "compare", "job_1", "job_1"), "two jobs or more")


@pytest.mark.server
def test_a_job_goes_from_files_to_its_deletion(negmerge: Command, signed_in: Api, tmp_path: Path) -> None:
    (tmp_path / "digits.zip").write_bytes(digits_zip())
    dataset = negmerge("datasets", "add", tmp_path / "digits.zip").stdout.strip()
    assert said(negmerge("datasets", "list", "--json"))[0]["id"] == dataset
    model = signed_in.model()
    assert model in negmerge("models", "list").stdout
    (tmp_path / "job.yaml").write_text(
        f"base_model: {{family: open_clip, weights: {model}}}\n"
        f"forget: {{dataset: {dataset}, select: {{classes: [seven]}}}}\n"
        f"retain: {{dataset: {dataset}}}\nsweep: {{grid: {{epochs: [1, 2]}}}}\nmetadata: {{ticket: DSR-1}}\n"
    )
    assert said(negmerge("jobs", "submit", tmp_path / "job.yaml", "--dry-run", "--json"))["estimate"]["points"] == 2
    made = negmerge("jobs", "submit", tmp_path / "job.yaml", "--idempotency-key", "DSR-1").stdout.strip()
    assert negmerge("jobs", "submit", tmp_path / "job.yaml", "--idempotency-key", "DSR-1").stdout.strip() == made
    assert [one["id"] for one in said(negmerge("jobs", "list", "--metadata", "ticket=DSR-1", "--json"))] == [made]
    assert_refused(negmerge("jobs", "delete", made), "cancel it first")
    assert_refused(negmerge("datasets", "delete", dataset), made)
    assert said(negmerge("jobs", "cancel", made, "--json"))["cancel_requested"]
    assert "cancelled" in negmerge("jobs", "list").stdout
    assert said(negmerge("jobs", "delete", made, "--json")) == {"deleted": made}
    assert negmerge("datasets", "delete", dataset).returncode == 0


@pytest.mark.server
def test_a_dry_run_says_why_the_sweep_chose_its_points(negmerge: Command, signed_in: Api, tmp_path: Path) -> None:
    spec = signed_in.spec(sweep="auto")
    (tmp_path / "job.json").write_text(json.dumps(spec))
    why = signed_in.post("/v1/jobs?dry_run=true", json=spec).json()["sweep_chosen"]["why"]
    assert why in negmerge("jobs", "submit", tmp_path / "job.json", "--dry-run").stdout


@pytest.mark.server
def test_wrong_fields_of_a_spec_are_told_by_their_pointers(negmerge: Command, signed_in: Api, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(signed_in.spec() | {"scale_search": {"keep": 1.5}}))
    assert_refused(negmerge("jobs", "submit", tmp_path / "job.json"), "/scale_search/keep")


@pytest.mark.server
def test_what_a_job_left_is_downloaded(negmerge: Command, signed_in: Api, tmp_path: Path) -> None:
    made = signed_in.finished_job({"report.html": b"<html>", "unlearned/x.safetensors": b"w"})
    done = negmerge("jobs", "download", made, "--out", tmp_path / "all", "--json")
    assert [Path(path).read_bytes() for path in said(done)["files"]] == [b"<html>", b"w"]
    assert negmerge("jobs", "download", made, "report.html", "--out", tmp_path).returncode == 0
    assert (tmp_path / "report.html").read_bytes() == b"<html>"
    assert_refused(negmerge("jobs", "download", made, "secret", "--out", tmp_path), "has no artifact 'secret'")


@pytest.mark.server
def test_a_login_is_checked_and_kept_for_the_other_commands(
    negmerge: Command, api: tuple[Api, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served, url = api
    key = served.key()["Authorization"].removeprefix("Bearer ")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{key}\n"))
    done = negmerge("login", url)
    assert done.returncode == 0, done.stderr
    assert key not in done.stdout + done.stderr
    assert read_login() == Login(url=url, key=key)
    assert stat.S_IMODE(login_file().stat().st_mode) == 0o600
    assert negmerge("jobs", "list").returncode == 0


@pytest.mark.server
def test_a_key_that_lets_nobody_in_is_not_kept(
    negmerge: Command, api: tuple[Api, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("nm_0123456789_wrong\n"))
    assert_refused(negmerge("login", api[1]), "key")
    assert not login_file().exists()


def test_the_help_and_the_remote_commands_load_no_torch(server: Faulty) -> None:
    server.will(give(200, example(Result)), give(200, example(Result)))
    script = (
        "import sys\nfrom negmerge.cli.main import main\n"
        "for words in (['--help'], ['jobs', '--help'], ['jobs', 'result', 'job_1'], ['jobs', 'compare', 'a', 'b']):\n"
        "    sys.argv = ['negmerge', *words]\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        "print({'torch', 'numpy', 'open_clip', 'scipy'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_off_a_terminal_a_long_wait_is_a_line_now_and_then_however_many_points_there_are(
    negmerge: Command, server: Faulty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.0)
    counts = json.loads(job("tuning"))["progress"]
    for folded in range(4):
        server.will(give(200, job("tuning", progress=counts | {"points": {"total": 12, "folded": folded}})))
    server.will(give(200, job("succeeded", outcome="unlearned")))
    done = negmerge("jobs", "watch", "job_1")
    assert done.stderr == "job_1: 0 of 12 points (point 5: 20 of 60 steps): 36 %\n"
