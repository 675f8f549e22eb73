"""Memory that a sample takes while it is in the model: what autograd keeps for the backward pass, measured on the CPU.

A GPU needs 16 bytes a parameter (weights, gradients, AdamW's two moments, in fp32), and for each sample of a part
(batch_size / accumulate) what this prints. With grad_checkpointing the inputs of all blocks are kept, and beside them
what one block keeps while it is computed again: that is estimated as the largest tower's whole by its number of blocks.

    python benchmarks/activations.py ViT-B-32 ViT-L-14
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from biomedica_ray.models.clip import build, image_size
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.train.step import contrastive_loss


def kept(model: Any, samples: int, *, bf16: bool) -> int:
    """Bytes that autograd keeps for a batch, without the parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.randn(samples, 3, *image_size(model))
    tokens = torch.randint(1, 1000, (samples, model.context_length))
    autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), autocast:
        output = model(images, tokens)
        contrastive_loss("clip", 0, 1)(output["image_features"], output["text_features"], output["logit_scale"])
    return sum(storages.values())


def a_sample(model: Any, *, bf16: bool) -> float:
    """MiB that one more sample takes."""
    return (kept(model, 4, bf16=bf16) - kept(model, 2, bf16=bf16)) / 2 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as train's model")
    print("| model | parameters | precision | MiB a sample | with grad_checkpointing |\n|---|---:|---|---:|---:|")
    for name in parser.parse_args().models:
        model, _ = build(resolve_model(name, None))
        model.output_dict = True
        model.train()
        blocks = max(len(tower.resblocks) for tower in (model.visual.transformer, model.transformer))
        parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        plain = {precision: a_sample(model, bf16=precision == "bf16") for precision in ("fp32", "bf16")}
        model.set_grad_checkpointing()
        for precision, whole in plain.items():
            inputs = a_sample(model, bf16=precision == "bf16")
            block = (whole - inputs) / blocks
            print(
                f"| {name} | {parameters:.1f}M | {precision} | {whole:.0f} | {inputs:.0f} + {block:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
