"""What can be known of an encoder without loading it: its preprocessing, and what identifies it.

Imports neither torch nor a library of models before an image is preprocessed, as that takes seconds: a run that finds
everything embedded needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from PIL import Image

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """A model's own preprocessing, as plain data.

    Attributes:
        library: Whose code resizes and crops.
        settings: That library's settings: size, crop, interpolation, mean, std.
    """

    library: Literal["timm", "open_clip"]
    settings: dict[str, Any]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input in pixels."""
        size = self.settings["input_size"][1:] if self.library == "timm" else self.settings["size"]
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 pixels of shape (B, 3, H, W) to the numbers that the model sees."""
        import torch  # noqa: PLC0415

        mean, std = (
            torch.tensor(self.settings[key], device=pixels.device).view(1, -1, 1, 1) for key in ("mean", "std")
        )
        return (pixels.float() / 255 - mean) / std

    def transform(self) -> Callable[[Image.Image], Pixels]:
        """A function from an RGB image to uint8 pixels (H, W, 3): everything but :meth:`normalise`."""
        if self.library == "timm":
            from timm.data.transforms_factory import create_transform  # noqa: PLC0415

            steps = create_transform(**self.settings, normalize=False).transforms[:-1]
        else:
            from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: PLC0415

            # Its last three: mode, tensor, normalise.
            steps = image_transform_v2(PreprocessCfg(**self.settings), is_train=False).transforms[:-3]

        def apply(image: Image.Image) -> Pixels:
            for step in steps:
                image = step(image)
            return np.asarray(image, np.uint8)

        return apply

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class EncoderInfo:
    """What can be known of an encoder without loading it.

    Attributes:
        model: Its name, as in the config.
        weights_sha256: SHA-256 of the names and values of its tensors, hex.
        dim: Numbers of an embedding.
        preprocessing: Its preprocessing.
    """

    model: str
    weights_sha256: str
    dim: int
    preprocessing: Preprocessing

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The inverse of :meth:`to_json`."""
        return cls(**{**data, "preprocessing": Preprocessing(**data["preprocessing"])})
