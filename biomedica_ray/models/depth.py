"""How deep in its tower each parameter of a CLIP model lies: what locking a part and a learning rate by layer go by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.hf_model import HFTextEncoder
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from timm.models import group_parameters

_BLOCK = re.compile(r"(?:^|\.)(?:resblocks|layers?|block)\.(\d+)\.")
"""The number of a block, as open_clip's towers and the encoders of transformers name them."""
_OF_TIMM = re.compile(r"(?:blocks|stages|layers|layer\d+)\.")
"""How the names of blocks begin in towers of timm."""
_STAGE = re.compile(r"^layer(\d+)\.")
"""The number of a stage of open_clip's ResNets."""
_MODULE = re.compile(r"(?:^|\.)(?:resblocks|layers?|layer\d+|blocks?|stages)\.\d+$")
"""How the names of blocks, and of stages of blocks, end in all of these towers."""
_STEM = ("conv", "bn", "class_embedding", "positional_embedding", "ln_pre", "token_embedding", "cls_emb")
"""What precedes the blocks, by the beginnings of names."""
_SHARED = ("logit_scale", "logit_bias", "visual.")
"""Parameters of a model whose text tower has no module of its own that do not belong to it."""


@dataclass(frozen=True)
class Tower:
    """The parameters of a tower, by name in the model.

    Attributes:
        blocks: How many blocks there are.
        depth: 0 for what precedes the blocks, then the number of the block from 1, the norm behind the last block with
            it, and ``blocks + 1`` for the projection into the common space.
    """

    blocks: int
    depth: dict[str, int]

    def last(self, blocks: int) -> set[str]:
        """The names of the projection and of so many blocks before it: open_clip's last ``blocks + 1`` groups."""
        return {name for name, depth in self.depth.items() if depth > self.blocks - blocks}


def image_tower(model: Any) -> Tower:
    """The image tower of a CLIP model."""
    visual = model.visual
    if not isinstance(visual, TimmModel):
        number = _STAGE if isinstance(visual, ModifiedResNet) else _BLOCK
        return _tower("visual.", _names(visual), number)
    groups = group_parameters(visual.trunk, visual.trunk.group_matcher())
    # The pooling behind the last block is a group of its own in some models, the norm there is not.
    blocks = max((number for number, names in groups.items() if any(map(_OF_TIMM.match, names))), default=0)
    depth = {f"visual.trunk.{name}": min(number, blocks) for number, names in groups.items() for name in names}
    heads = {f"visual.{name}": blocks + 1 for name in _names(visual) if not name.startswith("trunk.")}
    return Tower(blocks, depth | heads)


def text_tower(model: Any) -> Tower:
    """The text tower of a CLIP model."""
    if not hasattr(model, "text"):
        return _tower("", (name for name in _names(model) if not name.startswith(_SHARED)), _BLOCK)
    if not isinstance(model.text, HFTextEncoder):
        return _tower("text.", _names(model.text), _BLOCK)
    own = "transformer."
    names = [name.removeprefix(own) for name in _names(model.text) if name.startswith(own)]
    tower = _tower(f"text.{own}", names, _BLOCK, stem=("embeddings", "embed_tokens", "encoder.embed_tokens", "shared"))
    heads = {f"text.{name}": tower.blocks + 1 for name in _names(model.text) if not name.startswith(own)}
    return Tower(tower.blocks, tower.depth | heads)


def learning_rate_scales(model: Any, decay: float) -> dict[str, float]:
    """By which each parameter's learning rate is multiplied, where each layer has ``decay`` of that of the next one.

    The projections have 1, the last blocks ``decay``, those before them its square, and so on down to what precedes the
    blocks: the rule of BEiT (Bao et al. 2021, arXiv:2106.08254) and of timm's ``layer_decay``. What is in no tower (the
    logit scale) has 1.
    """
    scales = {name: 1.0 for name, _ in model.named_parameters()}
    for tower in (image_tower(model), text_tower(model)):
        scales |= {name: decay ** (tower.blocks + 1 - depth) for name, depth in tower.depth.items()}
    return scales


def blocks(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The blocks of both towers; those within others (in stages) come after them."""
    return [module for name, module in model.named_modules() if _MODULE.search(name)]


def _names(module: torch.nn.Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def _tower(prefix: str, names: Iterable[str], number: re.Pattern[str], stem: tuple[str, ...] = _STEM) -> Tower:
    names = list(names)
    found = {name: match for name in names if (match := number.search(name))}
    first = min((int(match[1]) for match in found.values()), default=0)
    places = {name: int(match[1]) - first + 1 for name, match in found.items()}
    blocks = max(places.values(), default=0)
    depth = {}
    for name in names:
        if name in places:
            depth[name] = places[name]
        elif is_projection(name) or name.startswith("text_projection"):
            depth[name] = blocks + 1
        else:
            depth[name] = 0 if name.startswith(stem) else blocks
    return Tower(blocks, {f"{prefix}{name}": place for name, place in depth.items()})


def is_projection(name: str) -> bool:
    """Whether a parameter of an image tower of open_clip belongs to the projection: ``proj``, or timm's ``head``."""
    return name == "proj" or name.startswith(("head.", "attnpool."))
