"""``negmerge run``, and ``evaluate`` of what it made: exit status, what they print, what they leave behind."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from negmerge.spec import caveats
from tests.support import local_job, results
from tests.support.command_line import Command, assert_refused


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "this is not JSON"),
        ("[]", "should hold an object"),
        ("[" * 100_000, "nested 32 deep"),
        ('{"repeats": 1, "repeats": 2}', "the key 'repeats' is there twice"),
        ('{"repeats": NaN}', "NaN is not a JSON number"),
        ("{}", "/sweep"),
    ],
    ids=["cut off", "a list", "deep", "a key twice", "not a number", "empty"],
)
def test_what_is_no_spec_is_refused(negmerge: Command, tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "job.json").write_text(text)
    assert_refused(negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out"), word)


def test_a_job_from_another_is_for_the_service(negmerge: Command, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps({"from_job": "job_" + "0" * 26}))
    assert_refused(negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out"), "/from_job", "negmerge apply")


def test_a_spec_that_is_not_there_is_named(negmerge: Command, tmp_path: Path) -> None:
    assert_refused(negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out"), "job.json cannot be read")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "text", "word"),
    [
        ("--class-names", '["three"]', "should hold JSON such as"),
        ("--class-names", '{"three": "3", "three": "drei"}', "the key 'three' is there twice"),
        ("--class-names", '{"six": "six"}', "no data set has a class named six"),
        ("--templates", '["a digit"]', "'a digit' is no template"),
        ("--templates", '["{} or {}"]', "'{} or {}' is no template"),
        ("--templates", "{", "should hold JSON such as"),
        ("--templates", None, "cannot be read"),
    ],
)
def test_words_and_templates_that_cannot_be_used_are_told(
    negmerge: Command, tmp_path: Path, option: str, text: str | None, word: str
) -> None:
    (tmp_path / "job.json").write_text(json.dumps(local_job.spec_document(tmp_path)))
    if text is not None:
        (tmp_path / "given.json").write_text(text)
    done = negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out", option, tmp_path / "given.json")
    assert_refused(done, word)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"base_model": {"family": "open_clip", "weights": "nowhere"}}, "no folder here"),
        ({"base_model": {"family": "open_clip", "weights": "mdl_1"}}, "the service's"),
        ({"retain": {"uri": "nowhere.zip"}}, "no file or folder nowhere.zip"),
        ({"retain": {"uri": "https://example.org/a.zip"}}, "fetch it first"),
        ({"retain": {"dataset": "ds_1"}}, "the service's"),
        ({"retain": {"uri": __file__}}, __file__),
    ],
    ids=["no model", "model id", "no archive", "other host", "data set id", "no archive at all"],
)
def test_a_reference_that_leads_nowhere_is_named(
    negmerge: Command, tmp_path: Path, changes: dict[str, object], word: str
) -> None:
    (tmp_path / "job.json").write_text(json.dumps(local_job.spec_document(tmp_path, **changes)))
    assert_refused(negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out"), word)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["gpu", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(negmerge: Command, tmp_path: Path, device: str) -> None:
    (tmp_path / "job.json").write_text(json.dumps(local_job.spec_document(tmp_path)))
    done = negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out", "--device", device)
    assert_refused(done, device)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "term"])
def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int) -> None:
    long = {"points": [{"learning_rate": 1e-3, "epochs": 1000, "batch_size": 1}]}
    (tmp_path / "job.json").write_text(json.dumps(local_job.spec_document(tmp_path, sweep=long)))
    before = set(tmp_path.iterdir())
    command = [sys.executable, "-m", "negmerge", "run", "job.json", "--out", "out"]

    def as_on_a_terminal() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job would have it ignored

    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=as_on_a_terminal
    ) as process:
        assert process.stderr is not None
        try:
            begun = [process.stderr.readline(), process.stderr.readline()]
            assert begun == ["prepare\n", "point 1/1\n"]
            assert len(set(tmp_path.iterdir()) - before) == 1  # the folder in the making
            process.send_signal(number)
            assert process.wait(60) == status
        finally:
            process.kill()
        assert "Traceback" not in process.stderr.read()
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "status", "heading"),
    [
        ({"require": {"forget_max": 0.0, "retain_min": 1.0}}, 3, "Below target"),
        ({"scale_search": {"rule": "fixed", "scale": 0.0}}, 4, "Nothing unlearned"),
    ],
    ids=["below target", "nothing unlearned"],
)
def test_the_status_of_a_run_is_its_outcome(
    negmerge: Command, tmp_path: Path, asked: dict[str, object], status: int, heading: str
) -> None:
    spec = local_job.spec_document(tmp_path, **asked)
    (tmp_path / "job.json").write_text(json.dumps(spec))
    done = negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out")
    assert done.returncode == status, done.stderr
    assert f"{heading}: the class “three”. The model recognises" in done.stdout
    assert json.loads((tmp_path / "out" / "result.json").read_text())["outcome_reason"] in done.stdout.replace(
        "\n", " "
    )


@pytest.mark.slow
def test_a_sweep_that_ctrl_c_stopped_goes_on_to_the_same_weights(negmerge: Command, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(local_job.spec_document(tmp_path)))
    command = [sys.executable, "-m", "negmerge", "run", "job.json", "--out", "out"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stderr is not None
        try:
            while process.stderr.readline() != "point 3/4\n":
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
        assert "kept: 2 points; the same command goes on from there" in process.stderr.read()
    assert not (tmp_path / "out").exists()
    printed = []
    for out in ("out", "unbroken"):
        done = negmerge("run", tmp_path / "job.json", "--out", tmp_path / out, "--json")
        assert done.returncode == 0, done.stderr
        printed.append(json.loads(done.stdout))
        assert printed[-1] == json.loads((tmp_path / out / "result.json").read_text())
    assert printed[0]["digests"] == printed[1]["digests"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_run_makes_the_folder_and_evaluate_measures_what_it_holds(negmerge: Command, tmp_path: Path) -> None:
    spec = tmp_path / "job.json"
    spec.write_text(json.dumps(local_job.spec_document(tmp_path)))
    done = negmerge("run", spec, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "NegMerge" in done.stdout
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "unlearned",
        "merged",
        "result.json",
        "examples.json",
        "report.html",
        "MODEL_CARD.md",
    }
    measured = negmerge("evaluate", tmp_path / "out" / "unlearned", spec, "--json")
    assert json.loads(measured.stdout)["test"] == result["methods"]["negmerge"]["test"]


@pytest.mark.slow
def test_run_warns_on_stderr_of_what_a_reader_must_know(negmerge: Command, tmp_path: Path) -> None:
    one = {"points": [{"learning_rate": 1e-3, "epochs": 1, "batch_size": 16}]}
    (tmp_path / "job.json").write_text(json.dumps(local_job.spec_document(tmp_path, sweep=one)))
    done = negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"warning: {caveats.ONE_POINT}" in done.stderr.splitlines()
    assert caveats.ONE_POINT not in done.stdout


def test_a_link_to_nothing_is_there_already(negmerge: Command, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    done = negmerge("run", "job.json", "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "exists: choose another --out, or remove it first" in done.stderr


def test_run_refuses_a_folder_that_exists(negmerge: Command, tmp_path: Path) -> None:
    done = negmerge("run", tmp_path / "job.json", "--out", tmp_path)
    assert done.returncode == 2
    assert "exists" in done.stderr


@pytest.mark.slow
def test_a_wrong_spec_is_told_field_by_field_and_nothing_is_left(negmerge: Command, tmp_path: Path) -> None:
    spec = tmp_path / "job.json"
    spec.write_text(json.dumps(local_job.spec_document(tmp_path, scale_search={"keep": 1.5})))
    done = negmerge("run", spec, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "/scale_search/keep" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_failed_run_leaves_nothing_behind(negmerge: Command, tmp_path: Path) -> None:
    spec = tmp_path / "job.json"
    diverging = {"points": [{"learning_rate": 1e6, "epochs": 2, "batch_size": 8}]}
    spec.write_text(json.dumps(local_job.spec_document(tmp_path, sweep=diverging)))
    before = set(tmp_path.iterdir())
    done = negmerge("run", spec, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert set(tmp_path.iterdir()) == before


def test_a_place_to_deliver_to_is_for_the_service(negmerge: Command, tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps(results.SPEC | {"deliver": "s3://results/unlearned"}))
    assert_refused(negmerge("run", tmp_path / "job.json", "--out", tmp_path / "out"), "/deliver", "is for the service")
