"""``CLIPModel``: a CLIP of open_clip's own towers."""

from collections.abc import Iterator
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats.hugging_face.fields import (
    GELUS,
    Config,
    check_channels,
    choice,
    heads,
    number,
    part,
    ratio,
    side,
    whole,
)
from negmerge.formats.hugging_face.images import for_open_clip
from negmerge.formats.hugging_face.pairs import Pair, layer, one, stacked
from negmerge.formats.open_clip_config import VOCABULARY

MODEL_TYPE, CLASS = "clip", "CLIPModel"
PASSED_OVER = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")
"""Counted numbers that older files have among the weights."""

_QUICK = "quick_gelu"
_ENDS = (2, VOCABULARY - 1)
"""Where CLIP's own prompts end, as configs have it. 2 never did: there the word with the highest number counts."""


def library_config(config: Config, processor: Config | None, has_tokenizer: bool) -> dict[str, Any]:
    """What an ``open_clip_config.json`` would hold. Raises ModelError."""
    vision, text = _tower(config, "vision"), _tower(config, "text")
    check_channels(vision)
    acts = {choice(tower, "hidden_act", _QUICK, (_QUICK, *GELUS)) for tower in (vision, text)}
    if len(acts) > 1:
        raise ModelError('"hidden_act" of both towers must be the same: open_clip has one for both')
    words = whole(text, "vocab_size", VOCABULARY)
    if not has_tokenizer and words != VOCABULARY:
        raise ModelError(
            f"the text tower has {words} words, so its tokenizer is not CLIP's own: put its tokenizer.json and "
            "tokenizer_config.json beside the config (tokenizer.save_pretrained(FOLDER) writes them)"
        )
    if not has_tokenizer and text.get("eos_token_id", _ENDS[1]) not in _ENDS:
        raise ModelError(f'"eos_token_id" must be {_ENDS[1]}, where CLIP\'s own tokenizer ends a prompt, or {_ENDS[0]}')
    size = side(vision, "image_size", 224)
    model_cfg = {
        "embed_dim": whole(config, "projection_dim", 512),
        "quick_gelu": acts == {_QUICK},
        "vision_cfg": _vision(vision) | {"image_size": size, "patch_size": side(vision, "patch_size", 32)},
        "text_cfg": _text(text) | ({"hf_tokenizer_name": "the folder's own"} if has_tokenizer else {}),
    }
    found: dict[str, Any] = {"model_cfg": model_cfg}
    return found if processor is None else found | {"preprocess_cfg": for_open_clip(processor, size)}


def pairs(config: Config) -> Iterator[Pair]:
    """Every tensor there and here."""
    yield one("logit_scale", "logit_scale")
    yield one("text_model.embeddings.token_embedding.weight", "token_embedding.weight")
    yield one("text_model.embeddings.position_embedding.weight", "positional_embedding")
    yield from blocks("text_model", "transformer", whole(_tower(config, "text"), "num_hidden_layers", 12))
    yield from layer("text_model.final_layer_norm", "ln_final")
    yield one("text_projection.weight", "text_projection", transposed=True)
    yield one("vision_model.embeddings.class_embedding", "visual.class_embedding")
    yield one("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight")
    yield one("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding")
    yield from layer("vision_model.pre_layrnorm", "visual.ln_pre")
    yield from blocks("vision_model", "visual.transformer", whole(_tower(config, "vision"), "num_hidden_layers", 12))
    yield from layer("vision_model.post_layernorm", "visual.ln_post")
    yield one("visual_projection.weight", "visual.proj", transposed=True)


def _tower(config: Config, name: str) -> dict[str, Any]:
    """A tower's fields. What old files say a second time, beside the tower's own, holds alone, as in transformers."""
    return part(config, f"{name}_config_dict") or part(config, f"{name}_config")


def _vision(vision: Config) -> dict[str, Any]:
    width = whole(vision, "hidden_size", 768)
    return {
        "width": width,
        "head_width": width // heads(vision, "num_attention_heads", width, 12),
        "layers": whole(vision, "num_hidden_layers", 12),
        "mlp_ratio": ratio(vision, "intermediate_size", "hidden_size", (3072, 768)),
    } | _arguments(vision)


def _text(text: Config) -> dict[str, Any]:
    width, end = whole(text, "hidden_size", 512), text.get("eos_token_id", 49407)
    if type(end) is not int or end < 0:
        raise ModelError('"eos_token_id" must be the number of a word')
    words = whole(text, "vocab_size", VOCABULARY)
    return {
        "width": width,
        "heads": heads(text, "num_attention_heads", width, 8),
        "layers": whole(text, "num_hidden_layers", 12),
        "mlp_ratio": ratio(text, "intermediate_size", "hidden_size", (2048, 512)),
        "context_length": whole(text, "max_position_embeddings", 77),
        "vocab_size": words,
        **({} if end in (_ENDS[0], words - 1) else {"pool_type": "eos", "eos_id": end}),
    } | _arguments(text)


def _arguments(tower: Config) -> dict[str, Any]:
    act = choice(tower, "hidden_act", _QUICK, (_QUICK, *GELUS))
    found: dict[str, Any] = {"norm_kwargs": {"eps": number(tower, "layer_norm_eps", 1e-5)}}
    return found | ({"act_kwargs": {"approximate": "tanh"}} if GELUS.get(act) == "tanh" else {})


def blocks(theirs: str, ours: str, count: int) -> Iterator[Pair]:
    """The blocks of a transformer as CLIP's and SigLIP's towers have them there, and open_clip's own here."""
    for number_of in range(count):
        there, here = f"{theirs}.encoder.layers.{number_of}", f"{ours}.resblocks.{number_of}"
        projections = tuple(f"{there}.self_attn.{name}_proj" for name in "qkv")
        for pair in stacked(projections, f"{here}.attn.in_proj"):
            yield Pair(pair.theirs, (pair.ours[0].replace("in_proj.", "in_proj_"),))
        yield from layer(f"{there}.self_attn.out_proj", f"{here}.attn.out_proj")
        yield from layer(f"{there}.layer_norm1", f"{here}.ln_1")
        yield from layer(f"{there}.layer_norm2", f"{here}.ln_2")
        yield from layer(f"{there}.mlp.fc1", f"{here}.mlp.c_fc")
        yield from layer(f"{there}.mlp.fc2", f"{here}.mlp.c_proj")
