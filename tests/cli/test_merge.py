"""``negmerge merge``: exit status, what it prints, what it leaves behind."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.command_line import Command, assert_refused


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


def test_a_place_in_a_bucket_is_no_place_for_a_file_of_a_command(negmerge: Command, models: Path) -> None:
    given = ["--base", models / "base.safetensors", "--tuned", models / "a.safetensors"]
    refused = negmerge("merge", *given, "--out", "s3://bucket/out.safetensors")
    assert_refused(refused, "is no path on this machine", "write to a folder and copy it")


def merge_command(models: Path, *options: object) -> list[object]:
    files = [models / f"{name}.safetensors" for name in ("a", "b")]
    return [
        "merge", "--base", models / "base.safetensors", "--tuned", *files, "--out", models / "out.safetensors", *options
    ]  # fmt: skip


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


def test_a_warning_is_told_on_stderr_and_with_strict_is_an_error(negmerge: Command, models: Path) -> None:
    files = [models / "a.safetensors", models / "a.safetensors"]
    command = ["merge", "--base", models / "base.safetensors", "--tuned", *files, "--out", models / "out.safetensors"]
    done = negmerge(*command)
    assert done.returncode == 0
    assert "warning: " in done.stderr
    assert "are the same model: it counts 2 times" in done.stderr
    (models / "out.safetensors").unlink()
    refused = negmerge(*command, "--strict")
    assert refused.returncode == 2
    assert "it counts 2 times. Nothing was written: leave out strict" in refused.stderr
    assert not (models / "out.safetensors").exists()


def test_what_rounding_swallowed_is_told(negmerge: Command, models: Path) -> None:
    save_file({"w": torch.tensor([1.0, 1.0, 1.0], dtype=torch.bfloat16)}, models / "base.safetensors")
    for name in ("a", "b"):
        save_file({"w": torch.tensor([1.001, 1.5, 1.0])}, models / f"{name}.safetensors")
    done = negmerge(*merge_command(models))
    assert "0.20 % of the change is lost in rounding" in done.stdout


def test_a_link_that_leads_to_itself_is_refused_in_words(negmerge: Command, models: Path) -> None:
    (models / "loop").symlink_to(models / "loop")
    for out in (models / "loop", models / "loop" / "x"):
        assert_refused(negmerge(*merge_command(models, "--out", out)), "is a link that leads to itself")


UNSEEN = "bad\n\u202ename"


def test_a_path_is_printed_in_one_line_whatever_its_name(negmerge: Command, models: Path) -> None:
    out = models / f"{UNSEEN}.safetensors"
    base, a = models / "base.safetensors", models / "a.safetensors"
    done = negmerge("merge", "--base", base, "--tuned", a, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(r"bad\n\u202ename.safetensors")
    assert out.is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ["merge", "--base", "{}", "--tuned", "a", "--out", "{}"],
        ["merge", "--base", "a", "--tuned", "b", "--out", "{}/{}"],
        ["convert", "a", "--out", "{}/{}.safetensors"],
        ["evaluate", "{}", "spec.json"],
        ["inspect", "{}"],
        ["convert", "{}", "--out", "new.safetensors"],
        ["run", "{}", "--out", "new"],
    ],
    ids=["takes the place", "no folder", "convert", "evaluate", "inspect", "file", "spec"],
)
def test_a_path_in_an_error_is_escaped(
    monkeypatch: pytest.MonkeyPatch, negmerge: Command, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = negmerge(*(argument.replace("{}", UNSEEN) for argument in arguments))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert r"\u202ename" in done.stderr
