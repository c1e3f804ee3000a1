"""``SiglipModel``: a CLIP with timm's image tower and open_clip's text tower. SigLIP 2 of fixed size is one too."""

from collections.abc import Iterator
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats.hugging_face.clip import blocks
from negmerge.formats.hugging_face.fields import (
    Config,
    approximation,
    check_channels,
    heads,
    number,
    part,
    ratio,
    side,
    switch,
    whole,
)
from negmerge.formats.hugging_face.images import for_open_clip
from negmerge.formats.hugging_face.pairs import Pair, layer, one, stacked

MODEL_TYPE, CLASS = "siglip", "SiglipModel"
PASSED_OVER = ("text_model.embeddings.position_ids", "vision_model.embeddings.position_ids")

_TANH = "gelu_pytorch_tanh"
_TOWERS = {
    (768, 12, 12, 3072, 16): ("vit_base_patch16_siglip", (224, 256, 384, 512)),
    (768, 12, 12, 3072, 32): ("vit_base_patch32_siglip", (256,)),
    (1024, 24, 16, 4096, 16): ("vit_large_patch16_siglip", (256, 384, 512)),
    (1152, 27, 16, 4304, 14): ("vit_so400m_patch14_siglip", (224, 378, 384)),
    (1152, 27, 16, 4304, 16): ("vit_so400m_patch16_siglip", (256, 384, 512)),
    (1536, 40, 16, 6144, 16): ("vit_giantopt_patch16_siglip", (256, 384)),
}
"""Width, layers, heads, the layers' middle, pixels of a patch → timm's name, and the images that it has it for.

open_clip takes image towers of timm by name alone, so there are no others.
"""


def library_config(config: Config, processor: Config | None, has_tokenizer: bool) -> dict[str, Any]:
    """What an ``open_clip_config.json`` would hold. Raises ModelError."""
    vision, text = part(config, "vision_config"), part(config, "text_config")
    check_channels(vision)
    if not switch(vision, "vision_use_head", True):
        raise ModelError('"vision_use_head" is false: only image towers with their own pooling are served')
    if not has_tokenizer:
        raise ModelError(
            "the model's tokenizer is not there: put its tokenizer.json and tokenizer_config.json beside the config "
            "(AutoTokenizer.from_pretrained(…).save_pretrained(FOLDER) writes them)"
        )
    size, width = side(vision, "image_size", 224), whole(text, "hidden_size", 768)
    embedding = whole(text, "projection_size", width) if text.get("projection_size") is not None else width
    if embedding != whole(vision, "hidden_size", 768):
        raise ModelError('"projection_size" of the text tower must be "hidden_size" of the image tower')
    model_cfg = {
        "embed_dim": embedding,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {"image_size": size, "timm_model_name": _name(vision), "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": _text(text, width),
    }
    eps, gelu = number(vision, "layer_norm_eps", 1e-6), approximation(vision, _TANH)
    found: dict[str, Any] = {"model_cfg": model_cfg, "as_trained": {"norm_eps": eps, "gelu": gelu}}
    return found if processor is None else found | {"preprocess_cfg": for_open_clip(processor, size)}


def pairs(config: Config) -> Iterator[Pair]:
    """Every tensor there and here."""
    yield one("logit_scale", "logit_scale", nested=1)
    yield one("logit_bias", "logit_bias", nested=1)
    yield one("text_model.embeddings.token_embedding.weight", "text.token_embedding.weight")
    yield one("text_model.embeddings.position_embedding.weight", "text.positional_embedding")
    text, vision = part(config, "text_config"), part(config, "vision_config")
    yield from blocks("text_model", "text.transformer", whole(text, "num_hidden_layers", 12))
    yield from layer("text_model.final_layer_norm", "text.ln_final")
    yield from layer("text_model.head", "text.text_projection")
    embeddings, trunk = "vision_model.embeddings", "visual.trunk"
    yield from layer(f"{embeddings}.patch_embedding", f"{trunk}.patch_embed.proj")
    yield one(f"{embeddings}.position_embedding.weight", f"{trunk}.pos_embed", nested=-1)
    for number_of in range(whole(vision, "num_hidden_layers", 12)):
        yield from _block(f"vision_model.encoder.layers.{number_of}", f"{trunk}.blocks.{number_of}")
    yield from layer("vision_model.post_layernorm", f"{trunk}.norm")
    yield from _pooling("vision_model.head", f"{trunk}.attn_pool")


def _block(there: str, here: str) -> Iterator[Pair]:
    yield from stacked(tuple(f"{there}.self_attn.{name}_proj" for name in "qkv"), f"{here}.attn.qkv")
    yield from layer(f"{there}.self_attn.out_proj", f"{here}.attn.proj")
    yield from layer(f"{there}.layer_norm1", f"{here}.norm1")
    yield from layer(f"{there}.layer_norm2", f"{here}.norm2")
    yield from layer(f"{there}.mlp.fc1", f"{here}.mlp.fc1")
    yield from layer(f"{there}.mlp.fc2", f"{here}.mlp.fc2")


def _pooling(there: str, here: str) -> Iterator[Pair]:
    yield one(f"{there}.probe", f"{here}.latent")
    for suffix in ("weight", "bias"):
        yield Pair((f"{there}.attention.in_proj_{suffix}",), (f"{here}.q.{suffix}", f"{here}.kv.{suffix}"))
    yield from layer(f"{there}.attention.out_proj", f"{here}.proj")
    yield from layer(f"{there}.layernorm", f"{here}.norm")
    yield from layer(f"{there}.mlp.fc1", f"{here}.mlp.fc1")
    yield from layer(f"{there}.mlp.fc2", f"{here}.mlp.fc2")


def _name(vision: Config) -> str:
    """timm's name for the image tower. Raises ModelError where it has none of these sizes."""
    fields = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size")
    usual = (768, 12, 12, 3072, 16)
    sizes = tuple(side(vision, field, value) for field, value in zip(fields, usual, strict=True))
    name, images = _TOWERS.get((sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]), ("", ()))
    size = side(vision, "image_size", 224)
    if size not in images:
        known = ", ".join(f"{one_name}_{images}" for one_name, images in _TOWERS.values())
        raise ModelError(
            f"timm has no SigLIP tower of these sizes for images of {size} pixels, and open_clip takes no other: "
            f"there are {known}"
        )
    return f"{name}_{size}"


def _text(text: Config, width: int) -> dict[str, Any]:
    approximate = approximation(text, _TANH)
    return {
        "context_length": whole(text, "max_position_embeddings", 64),
        "vocab_size": whole(text, "vocab_size", 32000),
        "hf_tokenizer_name": "the folder's own",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "width": width,
        "heads": heads(text, "num_attention_heads", width, 12),
        "layers": whole(text, "num_hidden_layers", 12),
        "mlp_ratio": ratio(text, "intermediate_size", "hidden_size", (3072, 768)),
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": number(text, "layer_norm_eps", 1e-6)},
        "act_kwargs": {"approximate": approximate},
    }
