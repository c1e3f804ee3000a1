"""Small models of the kinds that are more than a plain CLIP, as open_clip and transformers make and save them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    BertTokenizer,
    GemmaTokenizer,
    T5Tokenizer,
    XLMRobertaTokenizer,
)

TEXTS = ["a photo of the digit one.", "Straße CAT, dog!  é", "猫 " + "picture " * 30, ""]
_WORDS = ["a photo of the digit zero one two three four five six seven picture cat dog é 猫 Straße"] * 50

SIGLIP: dict[str, Any] = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 64,
        "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": 64,
        "heads": 2,
        "layers": 1,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
    },
}
COCA: dict[str, Any] = {
    "embed_dim": 16,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 16,
        "patch_size": 4,
        "width": 32,
        "head_width": 16,
        "layers": 1,
        "attentional_pool": True,
        "attn_pooler_queries": 8,
        "attn_pooler_heads": 4,
        "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 15,
        "vocab_size": 49408,
        "width": 16,
        "heads": 1,
        "layers": 1,
        "embed_cls": True,
        "output_tokens": True,
    },
    "multimodal_cfg": {
        "context_length": 15,
        "vocab_size": 49408,
        "width": 16,
        "heads": 1,
        "layers": 1,
        "attn_pooler_heads": 1,
    },
}


def write_siglip(folder: Path, **model_cfg: Any) -> Path:
    """A SigLIP's folder with random weights, its tokenizer's files among the others, as open_clip's ``push`` has it."""
    _write(folder, open_clip.CustomTextCLIP, SIGLIP | model_cfg)
    t5().save_pretrained(folder)
    return folder


def write_coca(folder: Path, **model_cfg: Any) -> Path:
    """A CoCa's folder with random weights."""

    def made(**model_cfg: Any) -> torch.nn.Module:
        module: Any = open_clip.CoCa(**model_cfg)
        torch.nn.init.normal_(module.text_decoder.text_projection)  # which open_clip leaves as memory had it
        whole: torch.nn.Module = module
        return whole

    return _write(folder, made, COCA | model_cfg)


def _write(folder: Path, kind: Callable[..., torch.nn.Module], model_cfg: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    arguments = {key: value for key, value in model_cfg.items() if key != "custom_text"}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = kind(**arguments)
    save_file(module.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def t5() -> Any:
    """As SigLIP's: words of a unigram model, "</s>" behind them and to fill up."""
    return T5Tokenizer(vocab=_unigrams(["<pad>", "</s>", "<unk>"]), extra_ids=0, pad_token="</s>")


def gemma(side: str | None = "right") -> Any:
    """As SigLIP 2's: pairs of bytes."""
    learner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    learner.normalizer = normalizers.Replace(" ", "▁")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    learner.train_from_iterator(
        _WORDS, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    learned = json.loads(learner.to_str())["model"]
    merges: Any = [tuple(pair) for pair in learned["merges"]]
    return GemmaTokenizer(
        vocab=learned["vocab"], merges=merges, add_eos_token=True, **({"padding_side": side} if side else {})
    )


def bert() -> Any:
    """As CLIPA's: pieces of words in lower case."""
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.normalizer, learner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    learner.train_from_iterator(
        _WORDS, trainers.WordPieceTrainer(vocab_size=100, special_tokens=special, show_progress=False)
    )
    return BertTokenizer(vocab=learner.get_vocab())


def xlm_roberta() -> Any:
    """As that of the worldwide CLIPs."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    return XLMRobertaTokenizer(vocab=[*_unigrams(special), ("<mask>", 0.0)])


def _unigrams(special: list[str]) -> list[tuple[str, float]]:
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    learner.train_from_iterator(_WORDS, trainer)
    return [(word, score) for word, score in json.loads(learner.to_str())["model"]["vocab"]]
