"""Memory that a sample takes while it is in the model: what autograd keeps for the backward pass, measured on the CPU.

A GPU needs 16 bytes a parameter (weights, gradients, AdamW's two moments, in fp32), and for each sample of a part
(batch_size / accumulate) what this prints. With grad_checkpointing the inputs of all blocks are kept, and beside them
what one block keeps while it is computed again: that is estimated as the largest tower's whole by its number of blocks.

    python -m benchmarks.activations ViT-B-32 ViT-L-14
"""

from __future__ import annotations

import argparse

from biomedica_ray.models.clip import build
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.train.activations import blocks_of, measure
from biomedica_ray.train.learner import DTYPES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as train's model")
    print("| model | parameters | precision | MiB a sample | with grad_checkpointing |\n|---|---:|---|---:|---:|")
    for name in parser.parse_args().models:
        model, tokenizer = build(resolve_model(name, None))
        model.output_dict = True
        model.train()
        parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        tokens = tokenizer(["a figure"])
        found = {
            (precision, again): measure(model, tokens, loss="clip", dtype=DTYPES[precision], grad_checkpointing=again)
            for again in (False, True)
            for precision in ("fp32", "bf16")
        }
        for precision in ("fp32", "bf16"):
            plain = found[precision, False].sample / 2**20
            inputs = found[precision, True].sample / 2**20
            block = (plain - inputs) / blocks_of(model)
            print(
                f"| {name} | {parameters:.1f}M | {precision} | {plain:.0f} | {inputs:.0f} + {block:.0f} |", flush=True
            )


if __name__ == "__main__":
    main()
