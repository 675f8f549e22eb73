"""ModernBERT as a text tower, which open_clip 3.3 does not know yet.

open_clip takes each text tower of transformers by a table of architectures, and gives it an argument that ModernBERT's
class, which has no pooling layer, does not take.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from open_clip.hf_configs import arch_dict

KIND = "modernbert"
"""transformers' word for it."""
_ARCHITECTURE = {
    "config_names": {
        "context_length": "max_position_embeddings",
        "vocab_size": "vocab_size",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "layers": "num_hidden_layers",
        "layer_attr": "layers",
        "token_embeddings_attr": "embeddings",
    },
    "pooler": "mean_pooler",
}

arch_dict.setdefault(KIND, _ARCHITECTURE)  # as soon as models are built or read here


def register() -> None:
    """Have transformers build ModernBERTs as open_clip asks for them, in this process."""
    transformers: Any = import_module("transformers")

    class ModernBertModel(transformers.ModernBertModel):  # type: ignore[misc]
        def __init__(self, config: Any, add_pooling_layer: bool = False) -> None:
            super().__init__(config)

    transformers.AutoModel.register(transformers.ModernBertConfig, ModernBertModel, exist_ok=True)
