"""A CLIP model as transformers has it: ``python -m biomedica_ray.models.for_transformers MODEL FOLDER``.

``MODEL`` is whatever ``model`` is in ``train``'s config, above all the folder of a trained model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transformer import TextTransformer, VisionTransformer

from biomedica_ray.config import ConfigError
from biomedica_ray.config.wording import BUCKETS
from biomedica_ray.messages import one_line
from biomedica_ray.models.clip import build, image_size, preprocessing
from biomedica_ray.models.folders import is_folder
from biomedica_ray.models.spec import NEEDS_TRANSFORMERS, ModelSpec, has_transformers, resolve_model

TOLERANCE = 1e-5
"""How far the features of both may be apart, which are of length 1."""

_NAMES = (
    (r"^visual\.", "vision_model."),
    (r"^(?:text\.)?(?=token_embedding|positional_embedding|transformer|ln_final)", "text_model."),
    (r"^(?:text\.)?text_projection$", "text_projection.weight"),
    (r"^vision_model\.proj$", "visual_projection.weight"),
    (r"\.(class_embedding|token_embedding\.weight)$", r".embeddings.\1"),
    (r"\.positional_embedding$", ".embeddings.position_embedding.weight"),
    (r"\.conv1\.", ".embeddings.patch_embedding."),
    (r"\.ln_pre\.", ".pre_layrnorm."),
    (r"\.ln_post\.", ".post_layernorm."),
    (r"\.ln_final\.", ".final_layer_norm."),
    (r"\.transformer\.resblocks\.", ".encoder.layers."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.attn\.", ".self_attn."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
)
"""From open_clip's names to those of ``CLIPModel``, one rule after the other."""
_RESAMPLE = {"bilinear": 2, "bicubic": 3}
"""Pillow's numbers of interpolations, which image processors of transformers have."""


def export_for_transformers(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a folder that ``CLIPModel.from_pretrained`` loads, and with it ``CLIPProcessor.from_pretrained``.

    The model that is written is compared with the one that was given, on an image and a text.

    Args:
        model: Of :func:`biomedica_ray.models.clip.build`, on the CPU.
        tokenizer: Its tokenizer.
        folder: Where to write; is made.

    Raises:
        ConfigError: ``CLIPModel`` has not this architecture, or transformers is not installed.
    """
    if not has_transformers():
        raise ConfigError(f"for_transformers: {NEEDS_TRANSFORMERS}")
    transformers: Any = import_module("transformers")
    transformers.logging.set_verbosity_error()
    images = transformers.CLIPImageProcessor(**_image_processor(model))
    processor = transformers.CLIPProcessor(images, _tokenizer(model, tokenizer))
    converted = transformers.CLIPModel(_config(model)).eval()
    tensors = dict(_tensors(model.state_dict()))
    expected = converted.state_dict()
    for name in tensors.keys() ^ expected.keys():
        raise ConfigError(f"model: CLIPModel of transformers has no such architecture: {name} is in one of them only")
    try:
        converted.load_state_dict(tensors)
    except RuntimeError as error:
        raise ConfigError(f"model: CLIPModel of transformers has no such architecture: {one_line(error)}") from None
    _compare(model, converted, tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    converted.save_pretrained(folder)
    processor.save_pretrained(folder)


def _config(model: Any) -> Any:
    visual, text = model.visual, getattr(model, "text", model)
    if not isinstance(visual, VisionTransformer) or not (text is model or isinstance(text, TextTransformer)):
        what = type(text if isinstance(visual, VisionTransformer) else visual).__name__
        raise ConfigError(f"model: CLIPModel of transformers has no such architecture: a tower is a {what}")
    height, width = image_size(model)
    if height != width:
        raise ConfigError(f"model: CLIPModel of transformers takes square images, this one {height} x {width}")
    end = text.token_embedding.num_embeddings - 1
    return import_module("transformers").CLIPConfig(
        projection_dim=int(text.text_projection.shape[1]),
        # The last word of the vocabulary is the end of a text, where open_clip takes its features from.
        text_config={
            **_tower(text.transformer),
            "max_position_embeddings": text.positional_embedding.shape[0],
            "vocab_size": end + 1,
            "eos_token_id": end,
            "bos_token_id": end - 1,
            "pad_token_id": end,
        },
        vision_config={
            **_tower(visual.transformer),
            "image_size": height,
            "patch_size": visual.patch_size[0],
        },
    )


def _tower(transformer: Any) -> dict[str, Any]:
    block = transformer.resblocks[0]
    activation = {"QuickGELU": "quick_gelu", "GELU": "gelu"}.get(type(block.mlp.gelu).__name__)
    return {
        "hidden_size": transformer.width,
        "intermediate_size": block.mlp.c_fc.out_features,
        "num_hidden_layers": len(transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "hidden_act": activation or "gelu",
        "layer_norm_eps": block.ln_1.eps,
    }


def _tensors(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """The parameters under the names of ``CLIPModel``; those that it has no name for keep theirs."""
    for own, tensor in state.items():
        if own.endswith("attn_mask"):
            continue
        name = own
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        if ".in_proj_" in name:
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                yield name.replace("in_proj_", f"{part}_proj."), piece.clone()
        else:
            yield name, (tensor.T if name.endswith("_projection.weight") else tensor).clone()


def _image_processor(model: Any) -> dict[str, Any]:
    own, size = preprocessing(model), image_size(model)[0]
    crops = own.get("resize_mode", "shortest") == "shortest"
    if own.get("resize_mode") == "longest":
        raise ConfigError("model: image processors of transformers do not pad as resize_mode longest does")
    square = {"height": size, "width": size}
    return {
        "image_mean": list(own["mean"]),
        "image_std": list(own["std"]),
        "size": {"shortest_edge": size} if crops else square,
        "crop_size": square,
        "do_center_crop": crops,
        "resample": _RESAMPLE.get(own.get("interpolation", "bicubic"), 3),
    }


def _tokenizer(model: Any, tokenizer: Any) -> Any:
    if isinstance(tokenizer, HFTokenizer):
        return tokenizer.tokenizer
    if not isinstance(tokenizer, SimpleTokenizer):
        raise ConfigError(f"model: transformers has no such tokenizer: {type(tokenizer).__name__}")
    # Under the names that OpenAI and transformers have for the marks.
    marks = {tokenizer.sot_token_id: "<|startoftext|>", tokenizer.eot_token_id: "<|endoftext|>"}
    vocabulary = {marks.get(number, word): number for word, number in tokenizer.encoder.items()}
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    length = getattr(model, "text", model).positional_embedding.shape[0]
    return import_module("transformers").CLIPTokenizer(vocabulary, merges, model_max_length=length)


def _compare(model: Any, converted: Any, tokenizer: Any) -> None:
    """Raise ConfigError where both see the same image or text otherwise."""
    height, width = image_size(model)
    pixels = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    tokens = tokenizer(["a bar plot", "a photomicrograph of the liver"])
    with torch.inference_mode():
        ours = model.eval().encode_image(pixels, normalize=True), model.encode_text(tokens, normalize=True)
        found = converted(input_ids=tokens, pixel_values=pixels)
    for kind, a, b in zip(("images", "texts"), ours, (found.image_embeds, found.text_embeds), strict=True):
        away = float((a - b).abs().max())
        if not away < TOLERANCE:
            raise ConfigError(f"model: CLIPModel of transformers sees {kind} otherwise, by {away:.1e}")


def _main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    name, folder = arguments
    try:
        spec: ModelSpec = resolve_model(name, name if is_folder(name) else None)
        if spec.pretrained is None:
            raise ConfigError(f"model: {name}: expected a folder with weights, local-dir:PATH, {BUCKETS}, or hf-hub:ID")
        export_for_transformers(*build(spec), Path(folder))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
