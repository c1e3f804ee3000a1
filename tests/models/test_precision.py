"""Which precision a training takes: by what was asked for, what the operator prefers, and what the hardware is."""

from pathlib import Path

import pytest
import torch

from negmerge.models import precision
from negmerge.models.linearised import LinearisedModel
from negmerge.models.loading import load_zero_shot
from negmerge.models.precision import bfloat16_by, training_precision
from negmerge.models.zero_shot import ZeroShotModel
from negmerge.spec.precision import FLOAT32, AskedPrecision, Trained
from tests.support import pico

PLAIN = "fpu avx2 avx512f avx512bw avx512_vnni"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ZeroShotModel:
    return load_zero_shot(pico.write_folder(tmp_path_factory.mktemp("pico") / "model"))


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What takes the place of /proc/cpuinfo; not there yet."""
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(precision, "_CPU_INFO", path)
    return path


def has(cpu: Path, flags: str) -> None:
    """Two cores, as the kernel tells them."""
    cpu.write_text("".join(f"processor\t: {n}\nmodel name\t: amx_bf16\nflags\t\t: {flags}\n\n" for n in range(2)))


@pytest.mark.parametrize(
    ("flags", "by"),
    [
        (PLAIN, "emulated"),
        (f"{PLAIN} amx_tile amx_int8", "emulated"),
        (f"{PLAIN} avx512_bf16", "avx512"),
        (f"{PLAIN} avx512_bf16 amx_bf16 amx_tile amx_int8", "amx"),
    ],
)
def test_a_processor_computes_bf16_by_what_the_kernel_says_of_it(cpu: Path, flags: str, by: str) -> None:
    has(cpu, flags)
    assert bfloat16_by("cpu") == by


def test_a_machine_that_does_not_tell_is_taken_to_have_nothing(cpu: Path) -> None:
    assert bfloat16_by("cpu") == "emulated"


@pytest.mark.parametrize(
    ("asked", "preferred", "flags", "expected"),
    [
        ("auto", "auto", PLAIN, FLOAT32),
        ("auto", "auto", f"{PLAIN} amx_bf16", Trained("bfloat16", "amx")),
        ("auto", "float32", f"{PLAIN} amx_bf16", FLOAT32),
        ("auto", "bfloat16", PLAIN, Trained("bfloat16", "emulated")),
        ("float32", "bfloat16", f"{PLAIN} amx_bf16", FLOAT32),
        ("bfloat16", "float32", PLAIN, Trained("bfloat16", "emulated")),
    ],
)
def test_the_spec_decides_then_the_operator_then_the_hardware(
    cpu: Path,
    model: ZeroShotModel,
    asked: AskedPrecision,
    preferred: AskedPrecision,
    flags: str,
    expected: Trained,
) -> None:
    has(cpu, flags)
    assert training_precision(asked, model, preferred) == expected


def test_an_expansion_is_trained_in_float32_whatever_the_hardware(cpu: Path, model: ZeroShotModel) -> None:
    has(cpu, f"{PLAIN} amx_bf16")
    expansion = LinearisedModel(model.module, model.config, model.original, "cpu")
    assert training_precision("auto", expansion, "bfloat16") == FLOAT32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_computes_bf16_from_ampere_on() -> None:
    assert bfloat16_by("cuda") == ("cuda" if torch.cuda.get_device_capability() >= (8, 0) else "emulated")
