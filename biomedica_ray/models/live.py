"""Memory that a forward pass without gradients takes beside the weights, measured while it is done."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that operators have made and that are still there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._uses: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {tensor.untyped_storage()._cdata for tensor in tree_leaves((args, kwargs)) if _is_tensor(tensor)}
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if _is_tensor(tensor):
                self._note(tensor, before)
        return made

    def _note(self, tensor: torch.Tensor, before: set[int]) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if not self._uses[key]:
            if key in before:  # a view of a weight or of the input
                return
            self.now += size
            self.peak = max(self.peak, self.now)
        self._uses[key] += 1
        weakref.finalize(tensor, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._uses[key] -= 1
        if not self._uses[key]:
            self.now -= size


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor)


def peak_bytes(work: Callable[[], Any]) -> int:
    """The most bytes of tensors at a time that ``work`` makes; what operators need inside is not among them."""
    live = _Live()
    with torch.inference_mode(), live:
        work()
    return live.peak
