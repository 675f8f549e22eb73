"""What looks for panels in images beside the gutters: which one a config names, and how it is loaded.

Torch is imported where a detector is loaded, as that takes seconds: who wants gutters alone needs none.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.folders import HUB, LOCAL, repository
from biomedica_ray.models.weights import weights_mark
from biomedica_ray.panels.letters import Letter
from biomedica_ray.panels.seen import Seen
from biomedica_ray.panels.weights import SHIPPED, about_weights, identity, load_weights, read_weights

if TYPE_CHECKING:
    from PIL import Image


class Looker(Protocol):
    """Looks at an image (RGB): the panels that it sees, None where it only reads, and the letters of panels."""

    def __call__(self, image: Image.Image) -> tuple[list[Seen] | None, list[Letter]]:
        """Look at an image."""
        ...


@dataclass(frozen=True)
class DetectorSpec:
    """What looks for panels.

    Attributes:
        name: As in the config: shipped, a file of weights, or an object-detection model; None for gutters alone.
        classes: Classes of an object-detection model that are panels; None: all.
        endpoint_url: S3 server of weights, if it is not AWS.
    """

    name: str | None
    classes: tuple[str, ...] | None = None
    endpoint_url: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether it is of the networks that train-panels trains."""
        return self.name == SHIPPED or (self.name or "").endswith(".safetensors")

    def mark(self) -> Any:
        """What changes when the detector may be another one.

        Raises:
            ConfigError: There is no such detector, or what it needs is not installed.
        """
        if self.name is None:
            return None
        _need("torch", "safetensors")
        weights = read_weights(SHIPPED)
        if self.is_own:
            weights = read_weights(self.name, self.endpoint_url)
            about_weights(weights, f"detector: {self.name}")
            return identity(weights)
        _need("transformers")
        if not self.name.startswith(HUB) and not (Path(self.name.removeprefix(LOCAL)) / "config.json").is_file():
            raise ConfigError(
                f"detector: {self.name}: expected shipped, none, a file of train-panels (.safetensors), a folder with "
                "a config.json of transformers, or hf-hub:OWNER/NAME"
            )
        return [weights_mark(self.name, self.endpoint_url), self.classes, identity(weights)]

    def load(self, mark: Any = None) -> Looker | None:
        """The detector, ready to be used; one of transformers on a GPU where there is one. None for gutters alone.

        Args:
            mark: As :meth:`mark` gave it, when the work was planned; None where it was not.

        Raises:
            ConfigError: It cannot be loaded, or is another one by now.
        """
        if self.name is None:
            return None
        import torch  # noqa: PLC0415

        from biomedica_ray.panels.model import detect, read  # noqa: PLC0415

        torch.set_num_threads(1)
        own = self.name if self.name and self.is_own else SHIPPED
        weights = read_weights(own, self.endpoint_url)
        if self.is_own and mark is not None and identity(weights) != mark:
            raise ConfigError(f"detector: {own}: the file has changed since this run began; run the command again")
        detector, reader = load_weights(weights, f"detector: {own}")
        if self.is_own:
            return lambda image: (detect(detector, image) if detector else None, read(reader, image))
        other = object_detector(self.name, self.classes)
        return lambda image: (other(image), read(reader, image))


def _need(*packages: str) -> None:
    for package in packages:
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            extra = "hf" if package == "transformers" else "annotate"
            raise ConfigError(
                f"detector: {package} is not installed; pip install 'biomedica_ray[{extra}]', or --detector none for "
                "gutters alone"
            ) from None


LEAST = 0.3
"""Score below which an object-detection model has seen nothing."""


def object_detector(name: str, classes: Sequence[str] | None) -> Callable[[Image.Image], list[Seen]]:
    """An object-detection model of transformers.

    Args:
        name: A folder, or hf-hub:OWNER/NAME[@REVISION].
        classes: Names of its classes that are panels; None: all.

    Raises:
        ConfigError: It cannot be loaded, or has no such class.
    """
    import torch  # noqa: PLC0415
    from transformers import AutoImageProcessor, AutoModelForObjectDetection  # noqa: PLC0415

    place, revision = repository(name) if name.startswith(HUB) else (name.removeprefix(LOCAL), None)
    try:
        processor = AutoImageProcessor.from_pretrained(place, revision=revision)  # type: ignore[no-untyped-call]
        model = AutoModelForObjectDetection.from_pretrained(place, revision=revision)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"detector: {name}: {one_line(error)}") from None
    known = model.config.id2label
    if unknown := set(classes or ()) - set(known.values()):
        raise ConfigError(
            f"panel_classes: {sorted(unknown)[0]}: not a class of {name}, which has {sorted(known.values())}"
        )
    wanted = {number for number, label in known.items() if classes is None or label in classes}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).eval()

    def look(image: Image.Image) -> list[Seen]:
        inputs = processor(images=image, return_tensors="pt").to(device)
        with torch.inference_mode():
            found = processor.post_process_object_detection(
                model(**inputs), threshold=LEAST, target_sizes=[(image.height, image.width)]
            )[0]
        seen = []
        for score, label, corners in zip(found["scores"], found["labels"], found["boxes"], strict=True):
            left, top, right, bottom = (round(value) for value in corners.tolist())
            box = (max(0, left), max(0, top), min(image.width, right), min(image.height, bottom))
            if int(label) in wanted and box[0] < box[2] and box[1] < box[3]:
                seen.append(Seen(box, float(score)))
        return sorted(seen, key=lambda each: -each.confidence)

    return look
