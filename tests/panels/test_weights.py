"""The file of weights, and which detector a config names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from biomedica_ray.config import ConfigError
from biomedica_ray.panels.config import PanelsConfig
from biomedica_ray.panels.detectors import DetectorSpec, object_detector
from biomedica_ray.panels.model import detect, read
from biomedica_ray.panels.network import COARSEST, STRIDE, Detector, loss, peaks, targets
from biomedica_ray.panels.reader import Reader
from biomedica_ray.panels.seen import overlap
from biomedica_ray.panels.weights import about_weights, dump_weights, identity, load_weights, read_weights


def test_weights_come_back_as_they_were_written(tmp_path: Path) -> None:
    torch.manual_seed(1)
    detector, reader = Detector().eval(), Reader().eval()
    path = tmp_path / "x.safetensors"
    path.write_bytes(dump_weights(detector, reader, {"step": 7}))
    data = read_weights(str(path))
    again, reads = load_weights(data, "x")
    assert again is not None
    assert about_weights(data, "x") == {"step": 7}
    image = torch.rand(1, 3, 2 * COARSEST, COARSEST)
    for one, other in zip(detector(image), again(image), strict=True):
        assert torch.allclose(one, other, atol=0.05)
    crops, places = torch.rand(4, 2, 32, 32), torch.rand(4, 3)
    assert torch.allclose(reader(crops, places), reads(crops, places), atol=0.05)
    assert DetectorSpec(str(path)).mark() == identity(data)


def test_the_shipped_weights_are_small_and_read_letters() -> None:
    data = read_weights("shipped")
    assert len(data) < 10 * 2**20
    detector, reader = load_weights(data, "shipped")
    assert detector is None
    image = Image.new("RGB", (900, 400), "white")
    draw = ImageDraw.Draw(image)
    for left, text in ((20, "A"), (320, "B"), (620, "C")):
        draw.rectangle((left, 60, left + 250, 380), fill=(90, 90, 90))
        draw.text((left, 20), text, fill="black", font=ImageFont.load_default(30), stroke_width=1)
    assert [letter.letter for letter in read(reader, image)] == ["A", "B", "C"]
    assert read(reader, Image.new("RGB", (64, 200))) == []


def test_boxes_of_the_detector_lie_in_the_image() -> None:
    torch.manual_seed(2)
    detector = Detector().eval()
    detector.heat.bias = torch.nn.Parameter(torch.full((1,), 1.0))
    found = detect(detector, Image.new("RGB", (64, 200)))
    assert found
    assert all(0 <= box[0] < box[2] <= 64 and 0 <= box[1] < box[3] <= 200 for box, _ in found)


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_what_is_no_file_of_weights_is_one_line(tmp_path: Path, damage: str) -> None:
    whole = dump_weights(Detector(), Reader(), {})
    path = tmp_path / "x.safetensors"
    path.write_bytes({"cut": whole[: len(whole) // 2], "other": b"PK\3\4" * 50, "empty": b""}[damage])
    with pytest.raises(ConfigError, match=r"^detector: .*x\.safetensors: (damaged weights|expected weights)[^\n]*$"):
        DetectorSpec(str(path)).load()


def test_a_detector_that_is_not_there_is_told_before_work() -> None:
    with pytest.raises(ConfigError, match=r"detector: nowhere\.safetensors: no such file"):
        DetectorSpec("nowhere.safetensors").mark()
    with pytest.raises(ConfigError, match="detector: shiped: expected shipped, none, a file"):
        DetectorSpec("shiped").mark()
    assert DetectorSpec(None).mark() is None
    assert DetectorSpec(None).load() is None


def test_weights_that_changed_since_the_work_was_planned_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "panels.safetensors"
    path.write_bytes(read_weights("shipped"))
    spec = DetectorSpec(str(path))
    assert spec.load(spec.mark()) is not None
    with pytest.raises(ConfigError, match="the file has changed since this run began"):
        spec.load("another")


@pytest.mark.parametrize("detector", ["shipped", "weights.safetensors", None])
def test_classes_without_a_model_that_has_any_are_refused(detector: str | None) -> None:
    with pytest.raises(ValueError, match="panel_classes: only object-detection models"):
        PanelsConfig(store="s", detector=detector, panel_classes=["panel"])


def test_the_network_learns_where_panels_are() -> None:
    """One picture of two panels, by heart: targets, loss and peaks fit together."""
    torch.manual_seed(0)
    pixels = np.full((64, 128, 3), 255, np.uint8)
    boxes = np.array([(4, 8, 58, 56), (70, 8, 124, 56)], np.float32)
    for left, top, right, bottom in boxes.astype(int):
        pixels[top:bottom, left:right] = 40
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    wanted = targets([boxes], 64, 128)
    assert wanted[0].shape == (1, 1, 64 // STRIDE, 128 // STRIDE)
    assert int((wanted[0] == 1).sum()) == 2
    network = Detector().train()
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(120):
        value = loss(network(image), wanted)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    logits, sides = network(image)
    found = peaks(logits[0].detach(), sides[0].detach(), 0.4)
    assert len(found) == 2
    for box in boxes:
        assert max(overlap(box, each) for each, _ in found) > 0.75


def test_a_detector_of_transformers_gives_boxes_of_the_classes_asked_for(tmp_path: Path) -> None:
    """A small YOLOS with random weights, written and read by the library itself."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=[64, 64],
        num_detection_tokens=9, id2label={0: "panel", 1: "letter"}, label2id={"panel": 0, "letter": 1},
    )  # fmt: skip
    transformers.YolosForObjectDetection(config).save_pretrained(tmp_path)
    transformers.YolosImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8))
    every = object_detector(str(tmp_path), None)(image)
    assert every
    assert [each.confidence for each in every] == sorted((each.confidence for each in every), reverse=True)
    assert all(0 <= box[0] < box[2] <= 120 and 0 <= box[1] < box[3] <= 90 for box, _ in every)
    apart = [object_detector(str(tmp_path), [name])(image) for name in ("panel", "letter")]
    assert sorted([*apart[0], *apart[1]]) == sorted(every)
    with pytest.raises(ConfigError, match="panel_classes: figure: not a class of"):
        object_detector(str(tmp_path), ["figure"])
    assert DetectorSpec(f"local-dir:{tmp_path}", ("panel",)).mark()[1] == ("panel",)
