"""Every form in which models and weights are named, with open_clip as it is installed and no network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image

from biomedica_ray.config import ConfigError
from biomedica_ray.models import spec as specs
from biomedica_ray.models.clip import build, export, load_folder, preprocessing
from biomedica_ray.models.encoders import load_encoder, open_clip_model
from biomedica_ray.models.folders import is_folder, local_copy, repository
from biomedica_ray.models.spec import resolve_model, with_weights
from biomedica_ray.models.variants import for_training
from biomedica_ray.models.weights import local_weights
from biomedica_ray.train.config import TrainConfig
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server
from tests.models.hub import MEAN, put_on_hub, write_bert, write_plain, write_text_tower
from tests.train.conftest import TINY

IMAGE = Image.effect_noise((50, 40), 60).convert("RGB")
TEXTS = ["a red square", "a cell"]
OLD = "1" * 40


def assert_same(model: str, pretrained: str | None, theirs: str, endpoint_url: str | None = None) -> None:
    """Features, tokens and preprocessing are those of open_clip itself."""
    ours, tokenizer = build(resolve_model(model, pretrained, endpoint_url), endpoint_url=endpoint_url)
    expected, preprocess = open_clip.create_model_from_pretrained(theirs)
    tokens = open_clip.get_tokenizer(theirs)(TEXTS)
    image = preprocess(IMAGE)[None]
    assert torch.equal(tokenizer(TEXTS), tokens)
    assert preprocessing(ours)["mean"] == MEAN
    ours.eval(), expected.eval()
    with torch.no_grad():
        assert torch.equal(ours.encode_image(image), expected.encode_image(image))
        assert torch.equal(ours.encode_text(tokens), expected.encode_text(tokens))


def test_a_folder_in_every_form(tmp_path: Path, hub: Path) -> None:
    folder = write_plain(tmp_path / "plain")
    other = write_plain(tmp_path / "older", seed=5)
    put_on_hub(hub, "some/model", folder)
    put_on_hub(hub, "some/model", other, revision=OLD, ref="v1")
    config = str(folder / "open_clip_config.json")
    weights = str(folder / "open_clip_model.safetensors")
    here = f"local-dir:{folder}"
    for name in (str(folder), here, "hf-hub:some/model", f"hf-hub:some/model@{'0' * 40}"):
        assert_same(name, name, here)
        assert_same(name, weights, here)
        assert_same(config, name, here)
    for revision in (OLD, "v1"):
        name = f"hf-hub:some/model@{revision}"
        assert_same(name, name, f"local-dir:{other}")
    assert_same("hf-hub:some/model", "hf-hub:some/model", "hf-hub:some/model")
    with s3_server() as url:
        s3 = client(url)
        s3.create_bucket(Bucket="models")
        for path in folder.iterdir():
            s3.upload_file(str(path), "models", f"tiny/{path.name}")
        assert_same("s3://models/tiny", "s3://models/tiny", here, url)
        assert_same("s3://models/tiny/open_clip_config.json", "s3://models/tiny/open_clip_model.safetensors", here, url)
        with pytest.raises(ConfigError, match=r"^model: s3://models/none: ") as caught:
            resolve_model("s3://models/none", None, url)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["500", "503", "truncate", "short", "cut"])
def test_a_copy_from_s3_is_whole_or_an_error(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)
    monkeypatch.setattr("biomedica_ray.store.objects.RANGE_BYTES", 1000)
    monkeypatch.setattr("biomedica_ray.store.ranges.RANGE_BYTES", 1000)
    data = bytes(range(256)) * 10
    bad = {"/models/a/once.bin": 1, "/models/b/always.bin": 10**6}

    def spoil(path: str, times: int) -> str | None:
        return how if times < bad.get(path, 0) else None

    with s3_server() as server, flaky_proxy(server, spoil) as (url, _):
        client(server).create_bucket(Bucket="models")
        for key in ("a/once.bin", "b/always.bin", "b/open_clip_config.json"):
            client(server).put_object(Bucket="models", Key=key, Body=data)
        with local_copy("s3://models/a", url, "weights") as copy:
            assert {path.name: path.read_bytes() for path in copy.iterdir()} == {"once.bin": data}
        with pytest.raises(ConfigError, match=r"^weights: s3://models/b: .*always.bin: .*; after 8 attempts$"):
            local_copy("s3://models/b", url, "weights").__enter__()
        with local_copy("s3://models/b", url, "model", small=True) as copy:
            assert [path.name for path in copy.iterdir()] == ["open_clip_config.json"]


def test_the_base_of_a_merge_in_every_form(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `merge` builds it: the architecture of a run, its tokenizer, and the weights that ``base`` names."""
    folder, older = write_plain(tmp_path / "plain"), write_plain(tmp_path / "older", seed=5)
    put_on_hub(hub, "some/model", folder)
    put_on_hub(hub, "some/model", older, revision=OLD, ref="v1")
    run = resolve_model(str(older), str(older))
    (tmp_path / "small-CLIP.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "small-CLIP.json")
    tag = {"hf_hub": "some/model/", "quick_gelu": True, "mean": MEAN, "std": [0.2] * 3}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "small-CLIP", {"quick": tag})
    expected, of_older = (load_folder(each)[0].state_dict() for each in (folder, older))

    def check(base: str, weights: dict[str, torch.Tensor], name: str = run.name, url: str | None = None) -> None:
        spec = with_weights(replace(run, name=name), base, url, key="base")
        assert spec.model_cfg == run.model_cfg
        found = build(spec, own=str(older), endpoint_url=url, key="base")[0].state_dict()
        assert all(torch.equal(found[key], tensor) for key, tensor in weights.items()), base

    file = "open_clip_model.safetensors"
    for base in (str(folder), f"local-dir:{folder}", str(folder / file), "hf-hub:some/model"):
        check(base, expected)
    for base in (f"hf-hub:some/model@{OLD}", "hf-hub:some/model@v1"):
        check(base, of_older)
    check("quick", expected, "small-CLIP")
    with s3_server() as url:
        s3 = client(url)
        s3.create_bucket(Bucket="models")
        for path in folder.iterdir():
            s3.upload_file(str(path), "models", f"tiny/{path.name}")
        for base in ("s3://models/tiny", f"s3://models/tiny/{file}"):
            check(base, expected, url=url)
    with pytest.raises(ConfigError, match=r"^base: hf-hub:some/model@none: "):
        check("hf-hub:some/model@none", expected)


def test_weights_bring_their_activation_and_preprocessing(tmp_path: Path, tiny_model: str) -> None:
    folder = write_plain(tmp_path / "plain")
    spec = resolve_model(tiny_model, str(folder))
    assert spec.model_cfg["quick_gelu"]
    assert_same(tiny_model, str(folder), f"local-dir:{folder}")


def test_every_tag_brings_its_activation_and_preprocessing() -> None:
    """What open_clip warns of when it creates a model: a tag's activation is not the model's."""
    wanted = 0
    for name, tag in open_clip.list_pretrained():
        if name not in open_clip.list_models():
            continue
        said = open_clip.get_pretrained_cfg(name, tag)
        spec = with_weights(specs.ModelSpec(name, open_clip.get_model_config(name)), tag)
        if said.get("quick_gelu"):
            assert spec.model_cfg["quick_gelu"], (name, tag)
            wanted += not open_clip.get_model_config(name).get("quick_gelu")
        assert all(spec.preprocess_cfg[key] == said[key] for key in specs.PREPROCESSING if said.get(key))
    assert wanted >= 27
    assert resolve_model("ViT-L-14", "openai").model_cfg["quick_gelu"]


def test_a_tag_is_built_with_its_activation(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder and a model in training compute as open_clip with that tag and its activation does."""
    small = {**TINY, "quick_gelu": True}
    (tmp_path / "small-CLIP.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(tmp_path / "small-CLIP.json")
    (tmp_path / "small-CLIP-quick.json").write_text(json.dumps(small))
    open_clip.add_model_config(tmp_path / "small-CLIP-quick.json")
    tag = {"hf_hub": "some/tagged/", "quick_gelu": True, "mean": MEAN, "std": [0.2] * 3, "interpolation": "bilinear"}
    for name in ("small-CLIP", "small-CLIP-quick"):
        monkeypatch.setitem(open_clip.pretrained._PRETRAINED, name, {"quick": tag})
    put_on_hub(hub, "some/tagged", write_plain(tmp_path / "plain"))
    expected = open_clip.create_model("small-CLIP-quick", "quick").eval()
    model, _ = build(resolve_model("small-CLIP", "quick"))
    encoder = load_encoder("open_clip/small-CLIP", "quick")
    plain = load_encoder("open_clip/small-CLIP", str(tmp_path / "plain/open_clip_model.safetensors"))
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model.eval().encode_image(image), expected.encode_image(image))
        assert torch.equal(encoder.model(image), expected.encode_image(image))
        assert not torch.equal(plain.model(image), expected.encode_image(image))
    assert encoder.info.weights_sha256 != plain.info.weights_sha256
    assert encoder.info.preprocessing.settings["interpolation"] == "bilinear"


def test_a_model_with_a_text_tower_of_transformers(tmp_path: Path, hub: Path) -> None:
    put_on_hub(hub, "some/bert", write_text_tower(tmp_path / "bert"))
    folder = write_bert(tmp_path / "biomed", "some/bert")
    put_on_hub(hub, "some/biomed", folder)
    for name in (str(folder), f"local-dir:{folder}", "hf-hub:some/biomed"):
        theirs = name if ":" in name else f"local-dir:{name}"
        assert_same(name, name, theirs)
    tower, tokenizer = open_clip_model("any", "hf-hub:some/biomed")
    assert tokenizer(TEXTS).shape == (2, 12)
    assert tower.encode_text(tokenizer(TEXTS)).shape == (2, 16)


@pytest.mark.parametrize("by_path", [False, True])
def test_an_export_with_a_text_tower_of_transformers_needs_nothing_else(
    tmp_path: Path, hub: Path, by_path: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert = write_text_tower(tmp_path / "bert")
    if not by_path:
        put_on_hub(hub, "some/bert", bert)
    spec = resolve_model(str(write_bert(tmp_path / "biomed", str(bert) if by_path else "some/bert")), None)
    model, tokenizer = build(spec)
    folder = tmp_path / "exported"
    folder.mkdir()
    export(model, tokenizer, spec, folder)
    for path in folder.glob("*.json"):
        assert str(tmp_path) not in path.read_text(), path
    for path in (hub, bert, tmp_path / "biomed"):
        path.rename(path.with_name(f"{path.name}-gone"))
    again, tokens = load_folder(folder)
    assert torch.equal(tokens(TEXTS), tokenizer(TEXTS))
    with torch.no_grad():
        assert torch.equal(again.eval().encode_text(tokens(TEXTS)), model.eval().encode_text(tokens(TEXTS)))
    if by_path:  # as the model card says
        monkeypatch.chdir(folder)
        theirs, _ = open_clip.create_model_from_pretrained("local-dir:.")
        with torch.no_grad():
            assert torch.equal(theirs.eval().encode_text(tokens(TEXTS)), model.encode_text(tokens(TEXTS)))


def test_the_own_tokenizer_of_a_folder_is_used(tmp_path: Path, hub: Path) -> None:
    put_on_hub(hub, "some/bert", write_text_tower(tmp_path / "bert"))
    folder = write_bert(tmp_path / "biomed", "some/bert")
    words = (folder / "vocab.txt").read_text().split()
    (folder / "vocab.txt").write_text("\n".join([*words[:5], "more", *words[5:]]) + "\n")
    _, own = build(resolve_model(str(folder), None))
    _, named = build(resolve_model(str(folder / "open_clip_config.json"), None), weights=False)
    assert own(["red"])[0, 1] == named(["red"])[0, 1] + 1


def test_a_missing_package_is_one_line_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_bert(tmp_path / "biomed", str(write_text_tower(tmp_path / "bert")))
    monkeypatch.setattr(specs, "has_transformers", lambda: False)
    for name in (str(folder), "ViT-B-16-SigLIP", "roberta-ViT-B-32"):
        with pytest.raises(
            ConfigError, match=r"^model: .*: needs the package transformers: pip install 'biomedica_ray\[hf\]'$"
        ):
            resolve_model(name, None)


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("hf-hub:no/model", None, "^model: hf-hub:no/model: "),
        ("ViT-B-32", "hf-hub:no/model", "^pretrained: hf-hub:no/model: "),
        ("local-dir:/nope", None, "^model: local-dir:/nope: .*No such file"),
        (
            "/nope",
            None,
            "^model: /nope: expected a model name of open_clip, bmc-longclip, clip-lite0, a JSON file, a folder",
        ),
        ("ViT-B-32", "/nope", "^pretrained: /nope: expected hf-hub:ID, a folder or file that exists, or a tag of"),
        ("hf-hub:no/model@", None, "^model: hf-hub:no/model@: "),
    ],
)
def test_places_where_there_is_nothing(hub: Path, model: str, pretrained: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve_model(model, pretrained)
    assert "\n" not in str(caught.value)


def test_a_folder_as_the_model_brings_its_weights_unless_they_are_named(tmp_path: Path) -> None:
    def pretrained(**settings: str | None) -> str | None:
        return TrainConfig.model_validate({"store": "s", **settings}).pretrained

    assert pretrained(model="hf-hub:some/model@v1") == "hf-hub:some/model@v1"
    assert pretrained(model=str(tmp_path)) == str(tmp_path)
    assert pretrained(model="hf-hub:some/model", pretrained=None) is None
    assert pretrained(model="ViT-L-14") == "commonpool_xl_clip_s13b_b90k"


def test_what_is_a_folder(tmp_path: Path) -> None:
    assert all(map(is_folder, ("hf-hub:a/b", "local-dir:x", "s3://a/b", str(tmp_path))))
    assert not any(map(is_folder, ("ViT-B-32", "laion2b", "s3://a/b.safetensors", "s3://a/b.json", "/nope")))
    assert repository("hf-hub:a/b@v1") == ("a/b", "v1")
    assert repository("hf-hub:a/b") == ("a/b", None)
    with local_weights("local-dir:/a/b", None) as path:
        assert path == "/a/b"


def test_captions_are_not_generated() -> None:
    with pytest.raises(ConfigError, match=r"^model: coca_ViT-B-32: generates captions"):
        for_training(resolve_model("coca_ViT-B-32", None), loss="clip", patch_dropout=0)


def test_weights_of_an_encoder_in_every_form(tmp_path: Path, hub: Path) -> None:
    folder = write_plain(tmp_path / "plain")
    put_on_hub(hub, "some/model", folder)
    image = torch.rand(1, 3, 32, 32)
    expected, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    for name in (str(folder), f"local-dir:{folder}", "hf-hub:some/model", f"hf-hub:some/model@{'0' * 40}"):
        encoder = load_encoder("open_clip/any", name)
        with torch.no_grad():
            assert torch.equal(encoder.model(image), expected.eval().encode_image(image))
