"""The command line: exit status, what it prints, what it leaves behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from negmerge import __version__, cli
from negmerge.checkpoints.files import file_digest
from negmerge.spec import caveats
from tests.support import local_job, pico_timm


@dataclass
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts back the signal handlers that the command line sets."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def negmerge(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], signals: None) -> Command:
    """Runs the command line in this process, which spares each test the import of torch."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["negmerge", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """base, a and b: agree on the first element, disagree on the second; b leaves the third untouched."""
    save_file({"w": torch.tensor([1.0, 1.0, 1.0])}, tmp_path / "base.safetensors")
    save_file({"w": torch.tensor([1.5, 0.5, 2.0])}, tmp_path / "a.safetensors")
    save_file({"w": torch.tensor([2.0, 1.5, 1.0])}, tmp_path / "b.safetensors")
    return tmp_path


def test_merge_takes_several_files_after_one_option(negmerge: Command, models: Path) -> None:
    done = negmerge(
        "merge", "--base", models / "base.safetensors", "--tuned", models / "a.safetensors",
        models / "b.safetensors", "--out", models / "out.safetensors",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert load_file(models / "out.safetensors")["w"].tolist() == [1 - 0.75, 1.0, 1.0]


def test_merge_that_fails_exits_with_two_names_the_tensor_and_leaves_the_output_alone(
    negmerge: Command, models: Path
) -> None:
    save_file({"v": torch.zeros(3)}, models / "b.safetensors")
    (models / "out.safetensors").write_text("mine")
    done = negmerge(
        "merge", "--base", models / "base.safetensors", "--tuned", models / "a.safetensors",
        models / "b.safetensors", "--out", models / "out.safetensors",
    )  # fmt: skip
    assert done.returncode == 2
    assert "'w'" in done.stderr or "'v'" in done.stderr
    assert "Traceback" not in done.stderr
    assert (models / "out.safetensors").read_text() == "mine"
    assert sorted(path.name for path in models.iterdir()) == [
        "a.safetensors",
        "b.safetensors",
        "base.safetensors",
        "out.safetensors",
    ]


def test_the_version_is_told(negmerge: Command) -> None:
    assert negmerge("--version") == Done(0, f"negmerge {__version__}\n", "")


def test_inspect_shows_the_share_of_each_tensor(negmerge: Command, models: Path) -> None:
    done = negmerge("inspect", models / "a.safetensors")
    assert done.returncode == 0, done.stderr
    assert "100.00 %" in done.stdout


def merge_command(models: Path, *options: object) -> list[object]:
    files = [models / f"{name}.safetensors" for name in ("a", "b")]
    return [
        "merge", "--base", models / "base.safetensors", "--tuned", *files, "--out", models / "out.safetensors", *options
    ]  # fmt: skip


def assert_refused(done: Done, *words: str) -> None:
    """Status 2, and one line on stderr that has these words; nothing on stdout."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("negmerge: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_the_option_for_tuned_files_is_given_once_or_for_each_or_with_an_equals_sign(
    negmerge: Command, models: Path
) -> None:
    base, a, b, out = (models / f"{name}.safetensors" for name in ("base", "a", "b", "out"))
    merged = []
    for tuned in (["--tuned", a, b], ["--tuned", a, "--tuned", b], [f"--tuned={a}", b]):
        done = negmerge("merge", *tuned, "--base", base, "--out", out)
        assert done.returncode == 0, done.stderr
        merged.append(done.stdout)
    assert len(set(merged)) == 1


def test_merge_takes_the_share_of_models_that_must_agree(negmerge: Command, models: Path) -> None:
    done = negmerge(*merge_command(models, "--agreement", "0.5"))
    assert done.returncode == 0, done.stderr
    assert load_file(models / "out.safetensors")["w"].tolist() == [0.25, 1.0, 0.5]


def test_merge_takes_the_share_that_ties_keeps(negmerge: Command, models: Path) -> None:
    done = negmerge(*merge_command(models, "--method", "ties", "--density", "0.3"))
    assert done.returncode == 0, done.stderr
    assert load_file(models / "out.safetensors")["w"].tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--scale", "-1"], "--scale"),
        (["--scale", "nan"], "--scale"),
        (["--scale", "inf"], "--scale"),
        (["--scale", "much"], "--scale"),
        (["--density", "0"], "density"),
        (["--agreement", "1.5"], "agreement"),
        (["--method", "average"], "use negmerge, relaxed, uniform"),
        (["--method", "task_arithmetic"], "takes one fine-tuned model"),
        (["--unknown"], "--unknown"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_of_merge_is_named(negmerge: Command, models: Path, options: list[str], word: str) -> None:
    assert_refused(negmerge(*merge_command(models, *options)), word)
    assert not (models / "out.safetensors").exists()


def test_an_option_that_lacks_is_named(negmerge: Command, models: Path) -> None:
    assert_refused(negmerge("merge", "--base", models / "base.safetensors", "--tuned", "--out", "o"), "--tuned")


def test_merge_never_writes_over_what_it_reads(negmerge: Command, models: Path) -> None:
    before = (models / "a.safetensors").read_bytes()
    done = negmerge(*merge_command(models, "--out", models / "a.safetensors"))
    assert_refused(done, "name another --out")
    assert (models / "a.safetensors").read_bytes() == before


def test_the_folder_to_write_into_must_be_there(negmerge: Command, models: Path) -> None:
    assert_refused(negmerge(*merge_command(models, "--out", models / "new" / "o.safetensors")), "make it first")
    assert not (models / "new").exists()


def test_a_tensor_that_is_not_finite_is_named(negmerge: Command, models: Path) -> None:
    save_file({"w": torch.tensor([1.0, float("nan"), 1.0])}, models / "b.safetensors")
    assert_refused(negmerge(*merge_command(models)), "'w'", "b.safetensors")


def test_inspect_on_a_pipe_has_one_line_for_each_tensor_however_long_its_name(
    negmerge: Command, tmp_path: Path
) -> None:
    names = ["t" * 300, "visual.positional_embedding"]
    save_file({name: torch.ones(2, 3) for name in names}, tmp_path / "long.safetensors")
    lines = negmerge("inspect", tmp_path / "long.safetensors").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["tensor", *names]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "this is not JSON"),
        ("[]", "JSON object"),
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


def test_evaluate_wants_a_models_folder(negmerge: Command, models: Path) -> None:
    assert_refused(
        negmerge("evaluate", models / "a.safetensors", models / "job.json"), "folder in open_clip's or timm's format"
    )


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pickled classifier and its config, in the folder that the command is run in."""
    config = pico_timm.CONFIGS["resnet18"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"model": pico_timm.module(config).state_dict()}, tmp_path / "checkpoint.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_convert_writes_a_folder_and_prints_its_digest(negmerge: Command, checkpoint: Path) -> None:
    done = negmerge("convert", "checkpoint.pth", "--config", "config.json", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{file_digest(checkpoint / 'out' / 'model.safetensors')}  out\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere.pth", "--config", "config.json", "--out", "out"], "no file nowhere.pth"),
        (["checkpoint.pth", "--config", "nowhere.json", "--out", "out"], "nowhere.json"),
        (["checkpoint.pth", "--config", "config.json", "--out", "."], "exists"),
        (["checkpoint.pth", "--config", "config.json", "--out", "no/out"], "no folder no"),
        (["checkpoint.pth", "--out", "out"], "--config"),
    ],
)
def test_convert_says_in_one_line_what_is_wrong(
    negmerge: Command, checkpoint: Path, given: list[str], said: str
) -> None:
    before = set(checkpoint.iterdir())
    assert_refused(negmerge("convert", *given), said)
    assert set(checkpoint.iterdir()) == before


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
        "report.html",
        "MODEL_CARD.md",
    }
    measured = negmerge("evaluate", tmp_path / "out" / "unlearned", spec)
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


@pytest.mark.slow
def test_the_program_starts_as_a_module(models: Path) -> None:
    command = [sys.executable, "-m", "negmerge", "inspect", str(models / "missing.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
