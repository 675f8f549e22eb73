"""The README.md of an exported model, as the Hugging Face hub reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import open_clip
from huggingface_hub import ModelCardData

from biomedica_ray.models.spec import ModelSpec
from biomedica_ray.reading.place import Place
from biomedica_ray.reading.shards import Shard
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.eval_tasks import SCORES

_HUB = "hf://datasets/"
_RECIPE = (
    "continues",
    "epochs",
    "lr",
    "warmup_steps",
    "weight_decay",
    "beta1",
    "beta2",
    "grad_clip",
    "precision",
    "seed",
    "lock_image",
    "lock_text",
    "unlock_last",
    "layer_decay",
    "context_length",
    "image_weights",
    "shuffle_buffer",
)
"""Settings that say how the model came about; those of where and how fast it was trained do not."""

_OFF = {"unlock_last": 0, "layer_decay": 1}
"""Values that mean that a setting is not used."""

_PAGE = """\
{header}
# {name}

A CLIP model for biomedical figures and their captions, {made} with biomedica_ray after
[BIOMEDICA](https://arxiv.org/abs/2501.07171) (Lozano et al., CVPR 2025).

## Use

```python
import open_clip, torch
model, preprocess = open_clip.create_model_from_pretrained("local-dir:.")  # once published: "hf-hub:OWNER/NAME"
tokenizer = open_clip.get_tokenizer("local-dir:.")
with torch.inference_mode():
    texts = model.encode_text(tokenizer(["a bar plot", "a photomicrograph"]), normalize=True)
```

`model.encode_image(preprocess(image)[None], normalize=True)` gives the vector of a PIL image.

{about}

## Limits

- It has learned from captions as they were published, with their errors and conventions; most are English.
- Pictures of patients, methods and populations are as unevenly represented as in the literature.
- It is for research. It has not been tested for, and must not be used in, diagnosis or treatment.
- The figures are under their articles' licences, which every sample of the data carries; who publishes this model
  chooses its licence.
"""

_TRAINING = """\
## Training

{origin}

Data: figures and captions of PubMed Central's Open Access Subset, from `{data}`.

{groups}

{recipe}

## Results

{results}

Retrieval is measured on held-out figures of the same source: whether a figure's own caption is among the k most similar
of those samples, and the other way round. It depends on how many they are, and says nothing of other data.{tasks}"""

_TASKS = """

`tasks.` are zero-shot scores on published sets, on at most {most:,} images of each, by the authors' prompts where they
are known. The training data have not been searched for these images, unless it is said below."""

_MERGING = """\
## Merging

{origin}

{sweep}"""


def model_card(
    config: TrainConfig, spec: ModelSpec, shards: Sequence[Shard], metrics: Sequence[Mapping[str, Any]]
) -> str:
    """The card: a YAML header, how to load the model, what it was trained on and how, and how well it does.

    Args:
        config: The run's.
        spec: The model.
        shards: What it was trained on.
        metrics: One record a step; the last one has the results.
    """
    last = metrics[-1]
    samples = Counter[str]()
    for shard in shards:
        samples[shard.license_group] += shard.samples
    settings = config.model_dump(mode="json")
    recipe = {
        "samples a step": last["samples"],
        "steps": last["step"],
        **{
            key: settings[key]
            for key in _RECIPE
            if settings[key] is not None and settings[key] is not False and settings[key] != _OFF.get(key)
        },
    }
    results = {key: value for key, value in last.items() if key == "loss" or key.startswith(SCORES)}
    about = _TRAINING.format(
        origin=f"`{spec.name}`, begun with {_weights(spec)}.",
        data="`, `".join(config.uris) or Place(config.selection).folder("dataset"),
        groups=_table("licence group", "samples", {**dict(sorted(samples.items())), "all": samples.total()}),
        recipe=_table("setting", "value", recipe),
        results=_table("metric", "value", {key: f"{value:.4g}" for key, value in results.items()}),
        tasks=_TASKS.format(most=config.eval_samples) if config.eval_tasks else "",
    )
    return _page(config.name, "trained", spec, _datasets(config.uris), about)


def merged_card(name: str, spec: ModelSpec, merged: Mapping[str, Any]) -> str:
    """The card of a merged model: what it was made of, and how well each mixture did.

    Args:
        name: The merged model's.
        spec: The architecture, and the weights that the trained models were mixed with.
        merged: ``merge.json``: names of the trained models (``of``), which were averaged, their share (``alpha``), and
            the ``score`` by a ``metric`` of each share that was tried (``sweep``); None where it was not scored.
    """
    trained, alpha = ", ".join(f"`{one}`" for one in merged["of"]), merged["alpha"]
    origin = f"`{spec.name}`: {f'the mean of {trained}' if len(merged['of']) > 1 else trained}"
    if alpha < 1:
        origin += f", {alpha:.0%} of it, and {1 - alpha:.0%} of {_weights(spec)} (WiSE-FT, arXiv:2109.01903)"
    scores = {f"{one['alpha']:g}": f"{score:.4g}" for one in merged["sweep"] if (score := one["score"]) is not None}
    table = _table("share of the trained", f"{merged['metric']} on held-out figures", scores) if scores else ""
    return _page(name, "merged", spec, None, _MERGING.format(origin=f"{origin}.", sweep=table).rstrip())


def _page(name: str, made: str, spec: ModelSpec, datasets: list[str] | None, about: str) -> str:
    header = ModelCardData(
        license="other",
        license_name="licences-of-the-articles",
        library_name="open_clip",
        pipeline_tag="zero-shot-image-classification",
        tags=["clip", "biomedical", "pubmed-central", "biomedica"],
        base_model=_hub_id(spec),
        datasets=datasets,
    )
    return _PAGE.format(header=f"---\n{header.to_yaml()}\n---", name=name, made=made, about=about)


def _weights(spec: ModelSpec) -> str:
    """The weights that training began with."""
    if not spec.pretrained:
        return "random weights"
    base = _hub_id(spec)
    return f"the weights `{spec.pretrained}`" + (f" ([{base}](https://huggingface.co/{base}))" if base else "")


def _hub_id(spec: ModelSpec) -> str | None:
    """The Hugging Face repository of the weights that training began with."""
    if not spec.pretrained:
        return None
    if spec.pretrained.startswith("hf-hub:"):
        return spec.pretrained.removeprefix("hf-hub:")
    tag = open_clip.get_pretrained_cfg(spec.name, spec.pretrained) or {}
    return tag.get("hf_hub", "").rstrip("/") or None


def _datasets(uris: list[str]) -> list[str] | None:
    """The Hugging Face repositories of the data."""
    found = ["/".join(url.removeprefix(_HUB).split("/")[:2]) for url in uris if url.startswith(_HUB)]
    return list(dict.fromkeys(found)) or None


def _table(first: str, second: str, rows: Mapping[str, Any]) -> str:
    return "\n".join([f"| {first} | {second} |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])
