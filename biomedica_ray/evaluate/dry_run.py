"""What a run of evaluate would do and need: images to encode, one of them encoded, memory, time and money."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.preparing import Images, Texts
from biomedica_ray.forecast import TRIES, Tried, as_it_grows, batch_memory, forecast, measured_rate, told_memory
from biomedica_ray.images import ImageError
from biomedica_ray.messages import one_line
from biomedica_ray.models.names import ModelName
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.runs import Run

if TYPE_CHECKING:
    import torch

    from biomedica_ray.evaluate.config import EvaluateConfig
    from biomedica_ray.evaluate.pipeline import HeldOut

log = logging.getLogger(__name__)

_FAULTS = (ImportError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError)
"""What libraries raise for inputs that a model cannot take."""


def try_on_samples(checkpoints: TrainedModel, held_out: HeldOut) -> Tried:
    """Encode the first held-out sample that can be read; is a task on the cluster.

    Raises:
        ConfigError: None can be read, or the model cannot take it.
        StoreError: There is no model.
    """
    from biomedica_ray.evaluate.encode import Model  # noqa: PLC0415

    model = Model.of_run(checkpoints, "cpu")
    why = "there is none"
    for sample in held_out.samples():
        if isinstance(sample, Unreadable):
            why = f"{sample.what}: {sample.message}"
            continue
        try:
            pixels = model.pixels(sample.image)
        except ImageError as error:
            why = f"{sample.key}: {error}"
            continue
        encode = (lambda images: model.encode_images(list(images))), model.encode_texts
        return _try_one(checkpoints.name, model.parameters, (sample.key, pixels, sample.caption), encode)
    raise ConfigError(f"data: {held_out.data.root}: no sample can be read: {why}")


def try_on_sets(name: ModelName, sources: list[Images | Texts]) -> Tried:
    """Encode the first image of published sets that can be read, and a text; is a task on the cluster.

    Raises:
        ConfigError: There is no such model, none of the first images can be read, or the model cannot take it.
        StoreError: It is one of the store's, and not finished.
    """
    from biomedica_ray.evaluate.layouts.pixels import to_rgb  # noqa: PLC0415
    from biomedica_ray.models.scorable import load  # noqa: PLC0415

    model = load(name, "cpu")
    source = next(each for each in sources if isinstance(each, Images))
    text = next((each.texts[0] for each in sources if isinstance(each, Texts) and each.texts), "a figure")
    why = "there is none"
    for number, image in enumerate(source.opened.images(range(min(source.n, TRIES)))):
        if isinstance(image, Unreadable):
            why = image.message
            continue
        try:
            pixels = model.pixels(to_rgb(image, source.window))
        except ImageError as error:
            why = str(error)
            continue
        what = str(source.opened.listing.table["id"][number])
        return _try_one(name.text, model.parameters, (what, pixels, text), (model.images, model.texts))
    raise ConfigError(f"data: {source.name}: none of its first {TRIES} images can be read: {why}")


def _try_one(
    name: str,
    parameters: int,
    sample: tuple[str, torch.Tensor, str],
    encode: tuple[Callable[[torch.Tensor], Any], Callable[[Sequence[str]], Any]],
) -> Tried:
    """Encode one image and one text, and measure what more of them take.

    Args:
        name: The model's, for messages.
        parameters: Numbers of the model.
        sample: What the image is, its pixels (3, H, W), and a text.
        encode: Images (B, 3, H, W), and texts, to vectors (B, d) on the CPU.

    Raises:
        ConfigError: The model cannot take them, or gives no numbers.
    """
    import torch  # noqa: PLC0415

    from biomedica_ray.models.live import peak_bytes  # noqa: PLC0415

    what, pixels, text = sample
    images, texts = encode
    try:
        vectors = [torch.as_tensor(images(pixels[None])), torch.as_tensor(texts([text]))]
    except _FAULTS as error:
        raise ConfigError(f"model: {name}: cannot take {what}: {one_line(error)}") from None
    if not all(bool(torch.isfinite(each).all()) for each in vectors):
        raise ConfigError(f"model: {name}: the numbers that it gives of {what} are not finite")
    peaks = [
        [peak_bytes(partial(images, pixels[None].repeat(n, 1, 1, 1))), peak_bytes(partial(texts, [text] * n))]
        for n in (2, 4)
    ]
    height, width = pixels.shape[1:]
    return Tried(what, (int(height), int(width)), parameters, *as_it_grows(*peaks))


def tell(
    config: EvaluateConfig, record: Run, model: str, *, found: Mapping[str, int], workers: int, tried: Tried
) -> None:
    """Log what a run would do with a model, and add it to the record's ``dry_run``.

    Args:
        config: The run's.
        record: The run.
        model: The model.
        found: ``images`` and ``texts`` to encode, and ``reused``: vectors that the store has.
        workers: Those that would work at a time.
        tried: What came of one image.
    """
    height, width = tried.size
    log.info("evaluate: %s encodes %s at %d x %d pixels, and a text", model, tried.what, height, width)
    log.info(
        "evaluate: %s: %d images and %d texts to encode, %d vectors are there",
        model, found["images"], found["texts"], found["reused"],
    )  # fmt: skip
    parts = batch_memory(tried, config.batch_size, 4, on_gpu=config.use_gpu)  # values are float32
    entity, key = ("images", ("models", config.models)) if config.on_published_sets else ("samples", ("name", model))
    rate = measured_rate(record.store, "evaluate", entity, key)
    record.results.setdefault("dry_run", {})[model] = {
        "image": tried.what,
        "input": list(tried.size),
        "parameters": tried.parameters,
        **found,
        "memory_gib": told_memory("evaluate", parts),
        **forecast(config, "evaluate", found["images"], workers, rate),
    }
