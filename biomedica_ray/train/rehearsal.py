"""One forward and backward pass on one sample before training: what fails here, no restart would mend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.reading.stream import Preparation, UnusableError
from biomedica_ray.reading.texts import TextChoice

if TYPE_CHECKING:
    import torch

    from biomedica_ray.train.job import Job

_TIMES = 2
"""How often the sample is in the batch: the loss needs two rows, and so does batch norm."""

_FAULTS = (ImportError, RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError)
"""What libraries raise for inputs that a model cannot take."""


@dataclass(frozen=True)
class Rehearsed:
    """What a rehearsal came to.

    Attributes:
        sample: Key of the sample.
        loss: The loss of a batch of nothing but this sample.
    """

    sample: str
    loss: float


def preparation(job: Job, model: Any, tokenizer: Any) -> Preparation:
    """How samples become what a model takes."""
    from biomedica_ray.models.clip import image_size, preprocessing  # noqa: PLC0415

    texts = TextChoice(job.config.texts, job.config.long_text)
    return Preparation(image_size(model), preprocessing(model).get("interpolation", "bicubic"), tokenizer, texts)


def rehearse(job: Job) -> Rehearsed:
    """Build the model with its weights and let it learn from the first sample, on the CPU; is a task on the cluster.

    Raises:
        ConfigError: As :func:`one_step`, and as :func:`~biomedica_ray.models.clip.build`.
    """
    import torch  # noqa: PLC0415

    from biomedica_ray.models.clip import build, lock_towers  # noqa: PLC0415

    config = job.config
    torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    model, tokenizer = build(job.spec, config.image_weights, config.patch_dropout, endpoint_url=config.endpoint_url)
    lock_towers(model, image=config.lock_image, text=config.lock_text, unlock_last=config.unlock_last)
    return steps_on_all_data(job, model, preparation(job, model, tokenizer))


def steps_on_all_data(job: Job, model: Any, how: Preparation) -> Rehearsed:
    """As :func:`one_step`, on the CPU, on the first sample of each set of data; says what came of the first."""
    import torch  # noqa: PLC0415

    first, *_ = [one_step(job, model, how, lane, torch.device("cpu")) for lane in job.stream.tried]
    return first


def one_step(job: Job, model: Any, how: Preparation, lane: int, device: torch.device) -> Rehearsed:
    """A forward and a backward pass of a model on the first sample of a lane; leaves the model as it was.

    Args:
        job: The run.
        model: On ``device``.
        how: How the sample is prepared.
        lane: Whose sample.
        device: Where to compute.

    Raises:
        ConfigError: No sample of the lane can be read, or the model cannot take what there is.
        StoreError: The data cannot be reached.
    """
    import torch  # noqa: PLC0415

    from biomedica_ray.models.clip import normalise, preprocessing  # noqa: PLC0415
    from biomedica_ray.train.learner import DTYPES  # noqa: PLC0415
    from biomedica_ray.train.step import backward, contrastive_loss  # noqa: PLC0415

    config = job.config
    try:
        sample = job.stream.first(lane, how)
        tokens = how.tokens([sample]).repeat(_TIMES, 1).to(device)
    except UnusableError as error:
        raise ConfigError(f"data: {error}") from None
    except _FAULTS as error:
        raise ConfigError(f"model: {job.spec.name}: its tokenizer fails: {one_line(error)}") from None
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    was_dict, model.output_dict = model.output_dict, True
    try:
        own = preprocessing(model)
        mean, std = (torch.tensor(own[key], device=device).view(3, 1, 1) for key in ("mean", "std"))
        pixels = torch.from_numpy(sample.pixels).to(device).repeat(_TIMES, 1, 1, 1)
        loss = contrastive_loss(config.loss, 0, 1)
        value = backward(model.train(), loss, normalise(pixels, mean, std), tokens, dtype=DTYPES[config.precision])
    except _FAULTS as error:
        height, width = how.size
        raise ConfigError(
            f"model: {job.spec.name}: cannot learn from {sample.key} ({height} x {width} pixels, {tokens.shape[1]} "
            f"tokens): {one_line(error)}"
        ) from None
    finally:
        model.output_dict = was_dict
        model.zero_grad(set_to_none=True)
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])
    return Rehearsed(sample.key, float(value))
