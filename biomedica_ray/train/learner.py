"""A model as it learns: what one step does, and all that must be kept to go on after it."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from timm.utils.model_ema import ModelEmaV3
from torch.nn.parallel import DistributedDataParallel

from biomedica_ray.models.clip import lock_towers, normalise, preprocessing, train_mode
from biomedica_ray.train.checkpoints import Files, optimizer_tensors, restore_optimizer, room_for_state
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.fsdp import fitted, gathered, shard, shell, whole
from biomedica_ray.train.optimizer import adamw
from biomedica_ray.train.schedule import learning_rate
from biomedica_ray.train.step import autocast, backward, contrastive_loss, update

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What models compute in (autocast), by the config's ``precision``."""


@dataclass(frozen=True)
class Update:
    """What an update came to.

    Attributes:
        lr: Learning rate.
        numbers: Norm of the gradient before clipping, and the logit scale, as float64 where the model is: whoever reads
            them waits for the device.
        scaled: Whether the gradient was scaled for fp16, so that one that is too great leaves the weights as they are.
    """

    lr: float
    numbers: torch.Tensor
    scaled: bool

    @property
    def grad_norm(self) -> float:
        """The norm of the gradient."""
        return float(self.numbers[0])

    @property
    def skipped(self) -> bool:
        """Whether the weights stayed."""
        return self.scaled and not math.isfinite(self.grad_norm)


class Learner:
    """A model, its optimizer, and what else changes from step to step.

    Args:
        model: Of :func:`biomedica_ray.models.clip.build`; moved to ``device``, where each worker keeps its part of it
            with ``shard: fsdp``.
        config: How to train it.
        steps: How many steps training has in all.
        device: Where to train.
        rank: Number of this worker.
        workers: How many there are; with more than one, the process group must be there.

    Attributes:
        model: The model that learns.
        divided: Whether each worker has only a part of it.
    """

    def __init__(
        self, model: Any, config: TrainConfig, steps: int, device: torch.device, *, rank: int = 0, workers: int = 1
    ) -> None:
        self._config, self._steps, self._rank, self.device = config, steps, rank, device
        self.divided = config.shard == "fsdp" and workers > 1
        model.output_dict = True
        lock_towers(model, image=config.lock_image, text=config.lock_text, unlock_last=config.unlock_last)
        self._shell = shell(model) if self.divided else None
        if config.grad_checkpointing:
            model.set_grad_checkpointing()
        self._format = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model = model if self.divided else model.to(device, memory_format=self._format)
        # Tensors that are divided and others do not go into one kernel.
        self.average = ModelEmaV3(model, decay=config.ema, foreach=not self.divided) if config.ema else None
        if self.divided:
            for each in (model, self.average.module) if self.average else (model,):
                shard(each, device)
        self.optimizer = adamw(model, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        if config.compile:
            # DistributedDataParallel's way of cutting graphs does not go with checkpointing, as open_clip_train found.
            torch._dynamo.config.optimize_ddp = not config.grad_checkpointing
            model.compile()
        self.parallel = model
        if workers > 1 and not self.divided:
            self.parallel = DistributedDataParallel(
                model,
                device_ids=[device] if device.type == "cuda" else None,
                gradient_as_bucket_view=True,  # otherwise gradients are there twice
            )
            # Set here, as torch 2.13 warns of the argument and has another one, which earlier ones do not know.
            self.parallel.broadcast_buffers = not config.lock_image or config.unlock_last > 0
        self.loss = contrastive_loss(config.loss, rank, workers)
        own = preprocessing(model)
        self._mean, self._std = (torch.tensor(own[key], device=device).view(3, 1, 1) for key in ("mean", "std"))
        self.train_mode()
        statistics = [module for module in model.modules() if self.divided and _has_statistics(module)]
        self._statistics = [buffer for module in statistics for buffer in module.buffers()]

    @property
    def result(self) -> Any:
        """The model as it would be exported now: the average where one is kept.

        Where it is divided, all workers must ask for it, and each gets a copy of the whole.
        """
        now = self.average.module if self.average else self.model
        return now if self._shell is None else gathered(now, self._shell, self.device)

    def train_mode(self) -> None:
        """Back to training, after an evaluation."""
        config = self._config
        train_mode(self.model, lock_image=config.lock_image, lock_text=config.lock_text, unlock_last=config.unlock_last)

    def autocast(self) -> torch.autocast:
        """The context in which the model computes."""
        return autocast(self.device, DTYPES[self._config.precision])

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the model sees of uint8 pixels of shape (B, 3, height, width)."""
        return normalise(self.on_device(pixels), self._mean, self._std).contiguous(memory_format=self._format)

    def on_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor of host memory where the model is; for a GPU, its copying does not hold up the host."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def backward(self, step: int, images: torch.Tensor, tokens: torch.Tensor, chunks: int) -> torch.Tensor:
        """Add the gradient of a batch, and return the loss of this worker's rows; that of the batch is their mean.

        Args:
            step: Steps that were done before.
            images: As of :meth:`images`.
            tokens: int64, shape (B, context length), on the device.
            chunks: In how many parts the batch goes through the model.
        """
        for buffer in self._statistics:  # as DistributedDataParallel does
            torch.distributed.broadcast(buffer, 0)
        # Of the step alone, so that nothing about it needs to be kept.
        seed = random.Random(f"{self._config.seed}/{step}/{self._rank}").getrandbits(60)
        dtype = DTYPES[self._config.precision]
        return backward(self.parallel, self.loss, images, tokens, chunks, dtype=dtype, scaler=self.scaler, seed=seed)

    def update(self, step: int) -> Update:
        """Change the weights by the gradient, and drop it."""
        config = self._config
        lr = learning_rate(step, self._steps, config.warmup_steps, config.lr, config.schedule)
        norm = update(self.model, self.optimizer, lr, config.grad_clip, self.scaler)
        if self.average:
            self.average.update(self.model)
        logit_scale = whole(self.model.logit_scale.detach()).double().exp().reshape(())
        numbers = torch.stack([norm.double(), logit_scale])
        return Update(lr, numbers, scaled=self.scaler.is_enabled())

    def files(self) -> Files:
        """All that changes from step to step, as tensors by name, by the name of their file."""
        files = {
            "model.safetensors": self.model.state_dict(),
            "optimizer.safetensors": optimizer_tensors(self.optimizer, self.model),
        }
        if self.average:
            files["average.safetensors"] = self.average.module.state_dict()
        if scaler := self.scaler.state_dict():
            numbers = {name: torch.tensor(value, dtype=torch.float64) for name, value in scaler.items()}
            files["scaler.safetensors"] = numbers
        return files

    def restore(self, files: Mapping[str, Mapping[str, torch.Tensor]], *, own: bool = True) -> None:
        """Put the tensors of :meth:`files` back.

        Args:
            files: The tensors.
            own: Whether they are of this very run; another one may have kept no average, and no scale of gradients.
        """
        if not own:
            files = {"average.safetensors": files["model.safetensors"], **files}
        _put_back(self.model, files["model.safetensors"])
        restore_optimizer(self.optimizer, self.model, files["optimizer.safetensors"])
        if self.average:
            _put_back(self.average.module, files["average.safetensors"])
        if (before := self.scaler.state_dict()) and (own or "scaler.safetensors" in files):
            numbers = files["scaler.safetensors"]
            self.scaler.load_state_dict({name: type(value)(numbers[name].item()) for name, value in before.items()})

    def restore_parts(self, load: Callable[[Callable[[Files], Files]], None]) -> None:
        """The same for a divided model, by its parts; called by all workers.

        Args:
            load: Reads into the tensors that a function returns, by the names of those that there are.
        """
        averaged = False

        def room(there: Files) -> Files:
            nonlocal averaged
            files = {
                "model.safetensors": self.model.state_dict(),
                "optimizer.safetensors": room_for_state(
                    self.optimizer, self.model, there.get("optimizer.safetensors", {})
                ),
            }
            averaged = "average.safetensors" in there
            if self.average and averaged:
                files["average.safetensors"] = self.average.module.state_dict()
            return files

        load(room)
        if self.average and not averaged:
            self.average.set(self.model)  # type: ignore[no-untyped-call]


def _has_statistics(module: torch.nn.Module) -> bool:
    """Whether a module changes its buffers as it learns."""
    return isinstance(module, torch.nn.modules.batchnorm._NormBase) and module.training


def _put_back(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    own = model.state_dict()
    model.load_state_dict({name: fitted(tensor, own[name]) for name, tensor in tensors.items()})
