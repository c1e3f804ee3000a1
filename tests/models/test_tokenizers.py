"""Tokenizers in a model's folder: the numbers are open_clip's own, and whatever a file does, it does to itself."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from huggingface_hub import constants
from open_clip.tokenizer import HFTokenizer

from negmerge.errors import ModelError
from negmerge.models import tokenizers
from negmerge.models.tokenizers import files_beside, tokenizer_of
from negmerge.models.zero_shot import fetched_tokenizer
from tests.support import towers

pytestmark = pytest.mark.slow

LENGTH = 16

Folder = Callable[..., Path]


@pytest.fixture(scope="module", params=[towers.t5, towers.gemma, towers.bert, towers.xlm_roberta])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A tokenizer of transformers, and the folder that it saved itself into."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = request.param()
    tokenizer.save_pretrained(folder)
    return folder, tokenizer


def config_of(words: int = 1000, **arguments: Any) -> dict[str, Any]:
    text = {"hf_tokenizer_name": "some/tokenizer", "vocab_size": words, "tokenizer_kwargs": arguments}
    return {"model_cfg": {"text_cfg": text}}


def tokens(folder: Path, texts: Sequence[str], words: int = 1000, **arguments: Any) -> torch.Tensor:
    config = config_of(words, **arguments)
    return tokenizer_of(config, files_beside(config, folder), LENGTH)(texts)


@pytest.mark.parametrize("arguments", [{}, {"clean": "canonicalize"}, {"clean": "lower"}, {"strip_sep_token": True}])
def test_prompts_are_the_numbers_that_open_clip_makes_of_them(
    saved: tuple[Path, Any], arguments: dict[str, Any]
) -> None:
    folder, tokenizer = saved
    if "strip_sep_token" in arguments and tokenizer.sep_token is None:
        arguments = {}
    expected = HFTokenizer(str(folder), context_length=LENGTH, **arguments)(towers.TEXTS)
    assert torch.equal(tokens(folder, towers.TEXTS, **arguments), expected)


def test_open_clips_own_tokenizer_cleans_as_it_is_told() -> None:
    config = {"model_cfg": {"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}}}}
    found = tokenizer_of(config, {}, 77)(["A photo, of a DOG!"])
    assert torch.equal(found, open_clip.tokenize(["a photo of a dog"]))


def test_a_tokenizer_that_is_not_beside_the_config_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"some/tokenizer, which is never fetched: put its tokenizer\.json"):
        tokens(tmp_path, ["a"])


def test_a_file_beyond_any_vocabulary_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate(2**27 + 1)
    with pytest.raises(ModelError, match=r"tokenizer\.json has 134217729 bytes, of at most 134217728"):
        tokens(tmp_path, ["a"])


PLAIN: dict[str, Any] = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"<pad>": 0, "a": 1, "[U]": 2}, "unk_token": "[U]"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes a tokenizer of two words with parts replaced, and settings where there are any."""

    def write(settings: str | None = None, **parts: Any) -> Path:
        (tmp_path / "tokenizer.json").write_text(json.dumps(PLAIN | parts))
        if settings is not None:
            (tmp_path / "tokenizer_config.json").write_text(settings)
        return tmp_path

    return write


def test_a_tokenizer_of_two_words(folder: Folder) -> None:
    """By hand: "a" is 1, what is unknown 2, and 0 fills up."""
    assert tokens(folder(), ["a", "b"]).tolist() == [[1] + 15 * [0], [2] + 15 * [0]]


def test_the_settings_say_with_what_and_where_it_is_filled_up(folder: Folder) -> None:
    where = folder('{"pad_token": {"content": "[U]"}, "padding_side": "left"}')
    assert tokens(where, ["a"]).tolist() == [15 * [2] + [1]]


BOMB = {"type": "Sequence", "normalizers": 9 * [{"type": "Replace", "pattern": {"String": "a"}, "content": 10 * "a"}]}
BACKTRACKING = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("settings", "parts", "told"),
    [
        (None, {"normalizer": BOMB}, "takes more than 536870912 bytes of memory for 2 prompts"),
        (None, {"pre_tokenizer": BACKTRACKING}, "retry-limit-in-match over"),
        (None, {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "precompiled_charsmap"),
        (None, {"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", -1.0]]}}, "UnkIdNotInVocabulary"),
        (None, {"model": {"type": "Lookup"}}, "tokenizer.json: "),
        (None, {"model": PLAIN["model"] | {"vocab": {"<pad>": 0, "a": 4000, "[U]": 2}}}, "the number 4000, its text"),
        (None, {"model": PLAIN["model"] | {"vocab": {"a": 1, "[U]": 2}}}, 'names no "pad_token"'),
        ('{"pad_token": "[PAD]"}', {}, 'names no "pad_token" that the tokenizer knows'),
        ('{"padding_side": "up"}', {}, '"padding_side" "up", which must be "left" or "right"'),
        ("[]", {}, "tokenizer_config.json must hold an object"),
        ("{", {}, "tokenizer_config.json: "),
    ],
)
def test_files_that_cannot_be_used_are_told_in_words(
    folder: Folder, settings: str | None, parts: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "MEMORY", 2**29)
    with pytest.raises(ModelError) as caught:
        tokens(folder(settings, **parts), [40 * "a" + "b", "a"])
    assert told in str(caught.value)


def test_a_built_in_architectures_tokenizer_comes_from_where_its_weights_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here from what was fetched before, laid down as the hub's own library does."""
    cached = tmp_path / "models--timm--ViT-B-16-SigLIP"
    towers.t5().save_pretrained(cached / "snapshots" / "abc")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    config = {"model_cfg": open_clip.get_model_config("ViT-B-16-SigLIP")}
    assert fetched_tokenizer(config) == cached / "snapshots" / "abc"


def test_a_tokenizer_that_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    config = {"model_cfg": open_clip.get_model_config("ViT-B-16-SigLIP")}
    with pytest.raises(ModelError, match=r"timm/ViT-B-16-SigLIP cannot be had here .*upload the model's folder"):
        fetched_tokenizer(config)
