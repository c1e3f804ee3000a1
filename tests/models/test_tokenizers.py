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

from negmerge import confined
from negmerge.errors import ModelError
from negmerge.models import tokenizers
from negmerge.models.tokenizers import files_beside, tokenizer_of, tokens_by_class
from negmerge.models.zero_shot import fetched_tokenizer
from tests.support import towers
from worker.causes import may_pass

pytestmark = pytest.mark.slow

LENGTH = 16

Folder = Callable[..., Path]

OWN_PADDING = {
    "strategy": {"Fixed": LENGTH},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 2,
    "pad_type_id": 0,
    "pad_token": "[U]",
}


@pytest.fixture(scope="module", params=[towers.t5, towers.gemma, towers.bert, towers.xlm_roberta])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A tokenizer of transformers, and the folder that it saved itself into."""
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = request.param()
    tokenizer.save_pretrained(folder)
    return folder, tokenizer


def config_of(words: int = 1000, **arguments: Any) -> dict[str, Any]:
    text = {"hf_tokenizer_name": "some/tokenizer", "vocab_size": words, "context_length": LENGTH}
    return {"model_cfg": {"text_cfg": text | {"tokenizer_kwargs": arguments}}}


def tokens(folder: Path, texts: Sequence[str], words: int = 1000, **arguments: Any) -> torch.Tensor:
    config = config_of(words, **arguments)
    return tokenizer_of(config, files_beside(config, folder))(texts)


@pytest.mark.parametrize("arguments", [{}, {"clean": "canonicalize"}, {"clean": "lower"}], ids=str)
def test_prompts_are_the_numbers_that_open_clip_makes_of_them(
    saved: tuple[Path, Any], arguments: dict[str, Any]
) -> None:
    folder, _ = saved
    expected = HFTokenizer(str(folder), context_length=LENGTH, **arguments)(towers.TEXTS)
    assert torch.equal(tokens(folder, towers.TEXTS, **arguments), expected)


@pytest.mark.parametrize("own", [None, "Left"], ids=["no padding of its own", "padding of its own"])
@pytest.mark.parametrize("settings", [{}, {"pad_token": None}, {"tokenizer_class": None}, {"padding_side": "right"}])
def test_settings_that_are_missing_mean_what_they_mean_to_open_clip(
    saved: tuple[Path, Any], tmp_path: Path, settings: dict[str, Any], own: str | None
) -> None:
    """A setting of None is taken out, with the token that it names; what open_clip refuses may be refused here."""
    for path in saved[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    document = json.loads((tmp_path / "tokenizer_config.json").read_text()) | settings
    kept = {key: value for key, value in document.items() if value is not None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(kept))
    if own:
        tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
        token = tokenizer["added_tokens"][-1]
        tokenizer["padding"] = OWN_PADDING | {"direction": own, "pad_id": token["id"], "pad_token": token["content"]}
        (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    try:
        expected = HFTokenizer(str(tmp_path), context_length=LENGTH)(towers.TEXTS)
    except ValueError:
        with pytest.raises(ModelError, match='no "pad_token" is named'):
            tokens(tmp_path, towers.TEXTS)
    else:
        assert torch.equal(tokens(tmp_path, towers.TEXTS), expected)


@pytest.mark.parametrize("side", ["left", "right", None])
def test_prompts_are_filled_up_on_the_side_that_open_clip_fills(tmp_path: Path, side: str | None) -> None:
    """Of a class's own side transformers writes nothing down: a Gemma's is the left."""
    towers.gemma(side).save_pretrained(tmp_path)
    expected = HFTokenizer(str(tmp_path), context_length=LENGTH)(towers.TEXTS)
    assert (expected[0, 0] == 0) == (side != "right")
    assert torch.equal(tokens(tmp_path, towers.TEXTS), expected)


@pytest.mark.parametrize("kind", [towers.bert, towers.xlm_roberta])
def test_a_separator_is_stripped_as_open_clip_does(tmp_path: Path, kind: Callable[[], Any]) -> None:
    kind().save_pretrained(tmp_path)
    expected = HFTokenizer(str(tmp_path), context_length=LENGTH, strip_sep_token=True)(towers.TEXTS)
    assert torch.equal(tokens(tmp_path, towers.TEXTS, strip_sep_token=True), expected)


def test_a_separator_that_is_not_there_cannot_be_stripped(tmp_path: Path) -> None:
    towers.t5().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match='no "sep_token" that the tokenizer knows'):
        tokens(tmp_path, ["a"], strip_sep_token=True)


@pytest.mark.parametrize(
    ("settings", "padding", "filled"),
    [
        ('{"pad_token": "[U]"}', None, 2),
        ('{"pad_token": "[U]", "tokenizer_class": "T5Tokenizer"}', None, 2),
        ('{"tokenizer_class": "T5TokenizerFast"}', None, 0),
        ('{"tokenizer_class": "T5Tokenizer"}', OWN_PADDING, 0),
        ('{"tokenizer_class": "TokenizersBackend"}', OWN_PADDING, 2),
        (None, OWN_PADDING, 2),
    ],
)
def test_prompts_are_filled_up_as_the_files_say(
    folder: Folder, settings: str | None, padding: dict[str, Any] | None, filled: int
) -> None:
    assert tokens(folder(settings, padding=padding), ["a"]).tolist() == [[1] + 15 * [filled]]


def test_null_in_the_settings_leaves_the_padding_to_the_other_file(folder: Folder) -> None:
    where = folder('{"pad_token": null}')
    (where / "special_tokens_map.json").write_text('{"pad_token": "[U]"}')
    assert tokens(where, ["a"]).tolist() == [[1] + 15 * [2]]


def test_a_siglips_padding_is_never_guessed(tmp_path: Path) -> None:
    """It fills up with "</s>", and its text tower looks at the last token."""
    towers.t5().save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    with pytest.raises(ModelError, match=r'no "pad_token" is named .*: put its tokenizer_config\.json beside it'):
        tokens(tmp_path, ["a"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"do_lower_case": False}, '"do_lower_case" is false in the settings, and tokenizer.json has it otherwise'),
        ({"tokenize_chinese_chars": False}, '"tokenize_chinese_chars" is false'),
        ({"split_special_tokens": True}, '"split_special_tokens" is not served'),
    ],
)
def test_settings_that_change_the_tokenizer_are_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    towers.bert().save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=told):
        tokens(tmp_path, ["a"])


def test_open_clips_own_tokenizer_cleans_as_it_is_told() -> None:
    config = {"model_cfg": {"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}}}}
    found = tokenizer_of(config, {})(["A photo, of a DOG!"])
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

    def write(settings: str | None = '{"tokenizer_class": "T5Tokenizer"}', **parts: Any) -> Path:
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


T5 = '{"tokenizer_class": "T5Tokenizer"}'
BOMB = {"type": "Sequence", "normalizers": 9 * [{"type": "Replace", "pattern": {"String": "a"}, "content": 10 * "a"}]}
BACKTRACKING = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("settings", "parts", "told"),
    [
        (T5, {"normalizer": BOMB}, "takes more than 536870912 bytes of memory for 2 prompts"),
        (T5, {"pre_tokenizer": BACKTRACKING}, "retry-limit-in-match over"),
        (T5, {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "precompiled_charsmap"),
        (T5, {"model": {"type": "Unigram", "unk_id": 5, "vocab": [["a", -1.0]]}}, "UnkIdNotInVocabulary"),
        (T5, {"model": {"type": "Lookup"}}, "tokenizer.json: "),
        (T5, {"model": PLAIN["model"] | {"vocab": {"<pad>": 0, "a": 4000, "[U]": 2}}}, "the number 4000, its text"),
        ('{"pad_token": null, "tokenizer_class": "T5Tokenizer"}', {}, 'no "pad_token" is named'),
        ('{"pad_token": "[PAD]"}', {}, 'no "pad_token" is named that the tokenizer knows'),
        ('{"padding_side": "up", "pad_token": "a"}', {}, '"padding_side" "up", which must be "left" or "right"'),
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


def test_a_reader_that_the_system_ends_is_a_fault_that_may_pass(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object, **__: object) -> dict[str, Any]:
        raise confined.Starved("the system ended the process that read it")

    monkeypatch.setattr(confined, "ask", ended)
    with pytest.raises(ModelError, match="could not be read in a process of its own") as caught:
        tokens(folder(), ["a"])
    assert may_pass(caught.value)


class Counted:
    """A tokenizer that remembers how many prompts it was asked for: each becomes its own number."""

    at_once = 50

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, texts: Sequence[str]) -> torch.Tensor:
        self.asked.append(len(texts))
        return torch.tensor([[int(text)] for text in texts])


def test_prompts_are_asked_for_in_pieces_and_come_in_order() -> None:
    """By hand: 23 classes by two templates, ten classes at a time; fifty prompts are two such batches and no third."""
    tokenizer = Counted()
    pieces = list(tokens_by_class(tokenizer, [f"{n}" for n in range(23)], ["1{}", "2{}"], classes=10))
    assert tokenizer.asked == [40, 6]
    assert [len(piece) for piece in pieces] == [20, 20, 6]
    assert torch.cat(pieces)[:, 0].tolist() == [int(f"{t}{n}") for n in range(23) for t in (1, 2)]


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
