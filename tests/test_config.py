from __future__ import annotations

import json
import re
import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray import cli
from biomedica_ray.config import ConfigError
from biomedica_ray.config.help import stage_help
from biomedica_ray.config.wording import A_PLACE, BUCKETS
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from biomedica_ray.select.config import SelectConfig
from biomedica_ray.stages import CONFIGS, PipelineConfig, load
from biomedica_ray.store.filesystem import OBJECT_STORAGE
from biomedica_ray.train.config import TrainConfig


def test_the_command_line_takes_precedence_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "extract.yaml"
    file.write_text("store: /from/file\nlimit: 5\nsource: pmc\n")
    config = load("extract", ["--config", str(file), "--limit", "7", "--source=sample"])
    assert isinstance(config, ExtractConfig)
    assert (config.store, config.limit, config.source) == ("/from/file", 7, "sample")


def test_none_in_a_file_is_that_of_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "panels.yaml").write_text("store: s\ndetector: none\n")
    assert load("panels", ["--config", str(tmp_path / "panels.yaml")]).detector is None
    (tmp_path / "pipeline.yaml").write_text("store: s\npanels: {detector: none}\n")
    assert load("pipeline", ["--config", str(tmp_path / "pipeline.yaml")]).stage("panels").detector is None


def test_text_fields_stay_text_and_null_is_none() -> None:
    config = load("extract", ["--store", "2024", "--bucket", "true", "--limit", "null"])
    assert isinstance(config, ExtractConfig)
    assert (config.store, config.bucket, config.limit) == ("2024", "true", None)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([{"uri": "a"}], "data.0.weight: missing; expected its share of the samples of a step"),
        ([{"uri": "a", "weight": 1}, {"uri": "b", "weight": 0}], "data.1.weight: expected more than 0, got 0"),
        ([{"uri": "a", "weight": 1, "wieght": 2}], "data.0.wieght: unknown key; did you mean weight?"),
        ([{"uri": "a", "weight": 1, "texts": {"panels": 1}}], "data.0.texts.panels: expected one of 'caption', "),
        ([{"uri": "a", "weight": 1, "texts": {"panel": 0}}], "texts: expected finite weights, at least one of them"),
        ([{"uri": 3, "weight": 1}], "data.0.uri: expected text, got 3"),
        ([3], "data.0: expected text, got 3"),
    ],
)
def test_mistakes_in_data_that_are_mixed(tmp_path: Path, data: Any, message: str) -> None:
    (tmp_path / "train.yaml").write_text(json.dumps({"data": data}))
    with pytest.raises(ConfigError) as caught:
        load("train", ["--store", "s", "--config", str(tmp_path / "train.yaml")])
    assert str(caught.value).startswith(message)


def test_the_data_that_the_docs_mix_are_a_config(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[1] / "docs" / "training-data.md").read_text()
    block = docs.split("## Several sets by weight")[1].split("\n\n")[2]
    (tmp_path / "train.yaml").write_text(textwrap.dedent(block))
    config = load("train", ["--store", "s", "--config", str(tmp_path / "train.yaml")])
    assert isinstance(config, TrainConfig)
    assert [(each.weight, each.texts) for each in config.mixed] == [(3, None), (1, {"part": 1}), (1, None)]
    assert config.uris == ["s3://bucket/dataset"] * 2 + ["hf://datasets/OWNER/NAME/{000000..000009}.tar"]


@pytest.mark.parametrize(("text", "sets"), [("s3://a/b", ["s3://a/b"]), ("[a, b.tar]", ["a", "b.tar"])])
def test_one_set_or_more_to_look_in(text: str, sets: list[str]) -> None:
    config = load("dedupe", ["--store", "s", "--against", text])
    assert isinstance(config, DedupeConfig)
    assert config.against == sets


def test_sections_of_a_pipeline() -> None:
    config = load("pipeline", ["--store", "s", "--extract.limit", "50", "--train.name", "run.1"])
    assert isinstance(config, PipelineConfig)
    extract = config.stage("extract")
    assert isinstance(extract, ExtractConfig)
    assert (extract.store, extract.limit) == ("s", 50)


def test_a_pipeline_learns_from_the_dataset_that_it_writes() -> None:
    """Of another profile than the archive it does so only where train and evaluate are told."""
    profile, place = ["--serialize.profile", "train"], "s3://b/c/profiles/train-512-q90/dataset"
    given: list[str] = []
    for stage in ("train", "evaluate"):
        with pytest.raises(ConfigError) as caught:
            load("pipeline", ["--store", "s3://b/c/", *profile, *given])
        assert str(caught.value) == (
            f"{stage}.data: missing; {stage} would not take the dataset train-512-q90 that serialize writes here; "
            f"give --{stage}.data {place}"
        )
        given += [f"--{stage}.data", place]
    load("pipeline", ["--store", "s3://b/c/", *profile, *given])
    with pytest.raises(ConfigError, match=r"archive-q80 .* s/selections/some/profiles/archive-q80/dataset$"):
        load("pipeline", ["--store", "s", "--serialize.selection", "some", "--serialize.jpeg_quality", "80"])
    load("pipeline", ["--store", "s", "--serialize.jpeg_quality", "95"])


DEMO = str(Path(__file__).parents[1] / "jobs" / "demo.yaml")

WRONG = [
    # keys
    ("extract", [], f"store: missing; expected root of the dataset: {A_PLACE}"),
    ("enrich", ["--store", "s"], "email: missing; expected your e-mail address"),
    ("select", ["--store", "s"], "name: missing; expected the name of the selection"),
    ("propose", ["--store", "s"], "model: missing; expected open_clip/NAME of the CLIP model"),
    ("extract", ["--store", "s", "--limt", "5"], "limt: unknown key; did you mean limit?"),
    ("label", ["--store", "s", "--xyz", "5"], "xyz: unknown key; expected one of store, endpoint_url, ray_address"),
    ("train", ["--store", "s", "--learning-rate", "1"], "learning_rate: unknown key; --help lists them all"),
    ("train", ["--store", "s", "--batchsize", "8"], "batchsize: unknown key; did you mean batch_size?"),
    ("extract", ["--config", DEMO], "extract: unknown key; --help lists them all"),  # it is a pipeline's
    ("annotate", ["--store", "s", "--labels", "l.yaml"], "labels: no longer a key of annotate; give it"),
    # the command line
    ("extract", ["--store", "s", "--limit"], "limit: expected a value after it"),
    ("extract", ["--store", "s", "--limit", "--source", "pmc"], "limit: expected a value after it, got --source"),
    ("extract", ["--store", "s", "limit"], "limit: expected --key value"),
    ("extract", ["--store", "s", "-limit", "5"], "-limit: expected --key value"),
    ("extract", ["--store", "s", "--"], "--: expected --key value"),
    ("extract", ["--store", "s", "--=5"], "--=5: expected --key value"),
    ("extract", ["s"], "s: expected --key value"),
    ("extract", ["--config"], "config: expected a value after it"),
    ("extract", ["--config", "/no/such.yaml"], "--config /no/such.yaml: .*No such file"),
    ("extract", ["--config", "/"], "--config /: .*Is a directory"),
    # where things are
    ("extract", ["--store", ""], 'store: expected a value, got ""'),
    ("extract", ["--store", "  "], 'store: expected a value, got "  "'),
    ("extract", ["--store=", "--limit", "5"], 'store: expected a value, got ""'),
    ("extract", ["--store", "s3://YOUR_BUCKET/biomedica"], "store: YOUR_BUCKET stands for a bucket"),
    ("dedupe", ["--store", "s3:/bucket/a"], f"store: expected {A_PLACE}"),
    ("dedupe", ["--store", "s3://"], f"store: expected {A_PLACE}, got s3://"),
    ("dedupe", ["--store", "gs://"], f"store: expected {A_PLACE}, got gs://"),
    ("dedupe", ["--store", "az:/a"], f"store: expected {A_PLACE}"),
    ("dedupe", ["--store", "https://host/a"], f"store: expected {A_PLACE}"),
    ("dedupe", ["--store", "s", "--endpoint_url", "ftp://host"], "endpoint_url: expected server of the store"),
    ("dedupe", ["--store", "s", "--endpoint_url", ""], 'endpoint_url: expected a value, got ""'),
    ("dedupe", ["--store", "s", "--ray_address", "head"], "ray_address: expected Ray cluster to join: local"),
    ("dedupe", ["--store", "s", "--ray_address", "http://h:8265"], "ray_address: expected Ray cluster to join: local"),
    ("dedupe", ["--store", "s", "--ray_address", "ray://h:10001"], "ray_address: expected Ray cluster to join: local"),
    ("report", ["--store", "s", "--output", ""], 'output: expected a value, got ""'),
    # numbers
    ("extract", ["--store", "s", "--limit", "many"], "limit: expected a whole number, got many"),
    ("extract", ["--store", "s", "--limit", "0"], "limit: expected at least 1, got 0"),
    ("extract", ["--store", "s", "--limit", "-5"], "limit: expected at least 1, got -5"),
    ("extract", ["--store", "s", "--limit", "2.5"], "limit: expected a whole number, got 2.5"),
    ("extract", ["--store", "s", "--limit", "true"], "limit: expected a whole number, got true"),
    ("extract", ["--store", "s", "--limit", "[1, 2]"], r"limit: expected a whole number, got \[1, 2\]"),
    ("extract", ["--store", "s", "--fetches", "null"], "fetches: expected a whole number, got none"),
    ("extract", ["--store", "s", "--fetches", "9", "--max_fetches", "8"], "fetches: expected at most max_fetches, 8"),
    ("extract", ["--store", "s", "--memory_gb", "0"], "memory_gb: expected more than 0, got 0"),
    ("extract", ["--store", "s", "--memory_gb", "2 GB"], "memory_gb: expected a number, got 2 GB"),
    ("extract", ["--store", "s", "--memory_gb", ".inf"], "memory_gb: expected a finite number, got inf"),
    ("train", ["--store", "s", "--lr", ".nan"], "lr: expected a finite number, got nan"),
    ("train", ["--store", "s", "--lr", "-1e-3"], "lr: expected more than 0, got -1e-3"),
    ("train", ["--store", "s", "--beta1", "1"], "beta1: expected less than 1, got 1"),
    ("train", ["--store", "s", "--num_workers", "0"], "num_workers: expected at least 1, got 0"),
    ("train", ["--store", "s", "--batch_size", "1"], "batch_size: expected at least 2, got 1"),
    ("train", ["--store", "s", "--epochs", "half"], "epochs: expected a whole number, got half"),
    ("dedupe", ["--store", "s", "--max_distance", "9"], "max_distance: expected at most 8, got 9"),
    ("dedupe", ["--store", "s", "--min_correlation", "95"], "min_correlation: expected at most 1, got 95"),
    ("serialize", ["--store", "s", "--test_fraction", "1"], "test_fraction: expected less than 1, got 1"),
    (
        "serialize",
        ["--store", "s", "--test_fraction", "0.5", "--validation_fraction", "0.5"],
        "validation_fraction: expected less than 1 together with test_fraction",
    ),
    ("serialize", ["--store", "s", "--jpeg_quality", "101"], "jpeg_quality: expected at most 100, got 101"),
    ("annotate", ["--store", "s", "--clusters", "1"], "clusters: expected at least 2, got 1"),
    ("annotate", ["--store", "s", "--num_gpus", "all"], "num_gpus: expected a number, got all"),
    ("annotate", ["--store", "s", "--scan_k", "[500, 1]"], "scan_k.1: expected at least 2, got 1"),
    ("sheets", ["--store", "s", "--round", "first"], "round: expected a whole number, got first"),
    ("votes", ["--store", "s", "--min_agreement", "0.2"], "min_agreement: expected at least 0.5, got 0.2"),
    # choices, switches, dates, lists
    ("extract", ["--store", "s", "--source", "ftp"], "source: expected one of 'sample', 'packages' or 'pmc', got ftp"),
    ("extract", ["--store", "s", "--versions", "newest"], "versions: expected one of 'latest' or 'all', got newest"),
    ("extract", ["--store", "s", "--licenses", "CC BY"], r"licenses: expected a list, as in \[a, b\], got CC BY"),
    ("extract", ["--store", "s", "--licenses", "[CC-BY]"], "licenses.0: expected one of 'commercial', .*, got CC-BY"),
    ("extract", ["--store", "s", "--licenses", "[]"], r"licenses: expected at least 1, got \[\]"),
    ("extract", ["--store", "s", "--keep_retracted", "maybe"], "keep_retracted: expected true or false, got maybe"),
    ("extract", ["--store", "s", "--since", "2026-13-01"], "since: expected a date, as in 2026-01-31, got 2026-13-01"),
    ("extract", ["--store", "s", "--since", "yesterday"], "since: expected a date, as in 2026-01-31, got yesterday"),
    ("extract", ["--store", "s", "--since", "true"], "since: expected a date, as in 2026-01-31, got true"),
    ("sheets", ["--store", "s", "--form", "pdf"], "form: expected one of 'html' or 'label-studio', got pdf"),
    ("train", ["--store", "s", "--use_gpu", "2"], "use_gpu: expected true or false, got 2"),
    ("train", ["--store", "s", "--precision", "fp64"], "precision: expected one of 'fp32', 'bf16' or 'fp16', got fp64"),
    ("train", ["--store", "s", "--texts", "{captoin: 1}"], "texts.captoin: expected one of 'caption', "),
    ("train", ["--store", "s", "--texts", "caption"], "texts: expected keys and values, got caption"),
    ("train", ["--store", "s", "--texts", "{caption: -1}"], "texts.caption: expected at least 0, got -1"),
    ("evaluate", ["--store", "s", "--recall_at", "[]"], r"recall_at: expected at least 1, got \[\]"),
    ("evaluate", ["--store", "s", "--recall_at", "[one]"], "recall_at.0: expected a whole number, got one"),
    ("merge", ["--store", "s", "--alphas", "[0, 2]"], "alphas: expected numbers from 0 to 1"),
    # names that become a part of a path
    ("select", ["--store", "s", "--name", "a/b"], "name: expected letters, digits, - and _, with single dots"),
    ("train", ["--store", "s", "--name", ".."], r"name: expected letters, .*, got \.\."),
    ("train", ["--store", "s", "--name", "."], r"name: expected letters, .*, got \."),
    ("train", ["--store", "s", "--name", "../../etc"], "name: expected letters"),
    ("evaluate", ["--store", "s", "--name", ".hidden"], "name: expected letters"),
    ("merge", ["--store", "s", "--of", "[a, ../b]"], "of.1: expected letters"),
    ("report", ["--store", "s", "--name", ""], 'name: expected a value, got ""'),
    ("serialize", ["--store", "s", "--selection", "a b"], "selection: expected letters"),
    ("votes", ["--store", "s", "--output", "folder/"], "output: expected labels YAML to write.*, got folder/"),
    ("enrich", ["--store", "s", "--email", "me"], "email: expected your e-mail address.*, got me"),
    ("propose", ["--store", "s", "--model", "ViT-L-14"], "model: expected open_clip/NAME of the CLIP model"),
    # what does not go together
    ("extract", ["--store", "s", "--source", "packages"], "packages: missing; source packages needs a directory"),
    ("dedupe", ["--store", "s", "--semantic_model", "m"], "min_cosine: missing; semantic_model needs the"),
    ("dedupe", ["--store", "s", "--min_cosine", "0.9"], "semantic_model: missing; min_cosine needs the model"),
    ("train", ["--store", "s", "--data", "d", "--selection", "n"], "selection: cannot be combined with data"),
    ("merge", ["--store", "s", "--data", "d", "--selection", "n"], "selection: cannot be combined with data"),
    ("merge", ["--store", "s", "--name", "clip"], "name: clip is one of the runs in of; choose another"),
    ("train", ["--store", "s", "--texts", "{panel: 0}"], "texts: expected finite weights, at least one of them"),
    ("train", ["--store", "s", "--min_workers", "3"], "min_workers: expected at most num_workers, 2"),
    ("train", ["--store", "s", "--keep_best", "retrieval.image_to_text.recall@1"], "keep_best: needs eval_steps"),
    ("train", ["--store", "s", "--precision", "fp16"], "precision: fp16 needs a GPU"),
    # queries
    ("select", ["--store", "s", "--name", "a", "--where", "widht > 3"], "where: widht: no such column; did you mean"),
    ("select", ["--store", "s", "--name", "a", "--where", "width >"], "where: "),
    ("select", ["--store", "s", "--name", "a", "--balance", "label"], "cap: missing; balance needs the most figures"),
    ("select", ["--store", "s", "--name", "a", "--balance", "colour", "--cap", "3"], "balance: colour: no such col"),
    # a pipeline
    ("pipeline", ["--store", "s", "--extract.limt", "5"], r"extract\.limt: unknown key; did you mean limit\?"),
    ("pipeline", ["--store", "s", "--dedupe.max_distance", "99"], r"dedupe\.max_distance: expected at most 8, got 99"),
    ("pipeline", ["--store", "s", "--extrct.limit", "5"], r"extrct\.limit: unknown section extrct; did you"),
    ("pipeline", ["--store", "s", "--.limit", "5"], r"\.limit: unknown section ; expected one of extract"),
    ("pipeline", ["--store", "s", "--limit", "5"], "limit: unknown key; expected one of store"),
    ("pipeline", ["--store", "s", "--train.name", ".."], r"train\.name: expected letters"),
    ("pipeline", ["--store", "s", "--enrich.rate", "1"], r"enrich\.email: missing; expected your e-mail address"),
    ("pipeline", ["--store", "s", "--extract", "pmc"], "extract: expected keys and values, got pmc"),
    ("extract", ["--store", "s", "--extract.limit", "5"], r"extract\.limit: sections are those of a pipe"),
]  # fmt: skip


@pytest.mark.parametrize(("stage", "arguments", "message"), WRONG)
def test_a_mistake_is_one_line_that_names_the_key(
    stage: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}") as raised:
        load(stage, arguments)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert cli.main([stage, *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "while parsing a flow node"),
        ("- 1\n- 2\n", "expected keys and values, got list"),
        ("extract", "expected keys and values, got str"),
        ("store: s\nlimit: 5\nstore: t\n", "store appears twice in .*line 1"),
        ("extract: {limit: 5, limit: 6}", "limit appears twice"),
        ("since: 2026-13-01", "month must be in 1..12"),
        ("store: a\n\tlimit: 5\n", "cannot start any token"),
        ("store: \x00", "unacceptable character"),
    ],
)
def test_a_file_that_is_not_a_config(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"^--config .*bad\.yaml: .*{message}") as raised:
        load("dedupe", ["--config", str(file)])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("store: 5", "store: expected text, got 5"),
        ("store: [s]", r"store: expected text, got \[s\]"),
        ("store:", "store: expected text, got none"),
        ("store: s\nmax_distance: true", "max_distance: expected a whole number, got true"),
        ("store: s\n1: 2", "1: unknown key"),
        ("{}", "store: missing"),
        ("", "store: missing"),
    ],
)
def test_values_of_a_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"^{message}"):
        load("dedupe", ["--config", str(file)])


def test_an_empty_section_is_a_stage_with_its_defaults(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    file.write_text("store: s\nextract:\nenrich:\n")
    config = load("pipeline", ["--config", str(file)])
    assert isinstance(config, PipelineConfig)
    assert "enrich" not in config.stages
    assert config.stage("extract") == ExtractConfig(store="s")


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("labels", "labels.yaml", "give it to label: label.labels in a pipeline, `biomedica label --labels`"),
        ("proposals", "open_clip/x", "give it to propose: propose.model in a pipeline, `biomedica propose --model`"),
        ("proposals_weights", "w", "give it to propose: propose.weights in a pipeline, `biomedica propose --weights`"),
    ],
)
def test_keys_that_annotate_had_are_where_a_line_says(key: str, value: str, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("annotate", ["--store", "s", f"--{key}", value])
    assert str(caught.value) == f"{key}: no longer a key of annotate; {place}"
    with pytest.raises(ConfigError) as caught:
        load("pipeline", ["--store", "s", f"--annotate.{key}", value])
    assert str(caught.value) == f"annotate.{key}: no longer a key of annotate; {place}"


@pytest.mark.parametrize("stage", CONFIGS)
@pytest.mark.parametrize("columns", [60, 100])
def test_help_lists_every_key_with_default_and_meaning(
    stage: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = stage_help(stage, CONFIGS[stage], sections=False)
    words = " ".join(text.split())
    for name, field in CONFIGS[stage].model_fields.items():
        assert f" --{name} " in words
        assert " ".join(str(field.description).split()) in words
    assert not re.search(r"Annotated|NoneType|typing|<class|FieldInfo|True|False|None", text)
    assert (
        max(
            len(line) for line in text.splitlines() if "example" not in line and not line.startswith(("  bio", "usage"))
        )
        <= columns
    )
    assert "default: none" in text


@pytest.mark.parametrize("stage", CONFIGS)
def test_the_example_of_the_help_is_a_config(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[1])
    assert load(stage, shlex.split(CONFIGS[stage].example)).store == "mine"


@pytest.mark.parametrize("stage", CONFIGS)
def test_the_shipped_configs_are_valid_but_for_a_bucket_that_is_nobodys(stage: str) -> None:
    file = ["--config", str(Path(__file__).parents[1] / "jobs" / f"{stage}.yaml")]
    with pytest.raises(ConfigError, match=r"^store: YOUR_BUCKET stands for a bucket of yours"):
        load(stage, file)
    required = ["--email", "a@b.org"] if stage == "enrich" else []
    assert load(stage, [*file, "--store", "s", *required]).store == "s"


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "jobs" / "selections").glob("*.yaml")), ids=str)
def test_the_shipped_selections_are_valid_and_named_as_their_files(path: Path) -> None:
    config = load("select", ["--config", str(path), "--store", "s"])
    assert isinstance(config, SelectConfig)
    assert config.name == path.stem
    concepts = papers_taxonomy().concepts
    assert set(re.findall(r"'([^']+)'", config.where or "")) <= concepts.keys()


def test_configs_do_not_change_after_they_are_read() -> None:
    config = DedupeConfig(store="s")
    with pytest.raises(ValueError, match="frozen"):
        config.store = "t"  # type: ignore[misc]


def test_a_wrong_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["extrct"]) == 2
    assert capsys.readouterr().err == "biomedica: extrct: unknown stage; did you mean extract?\n"
    assert cli.main([]) == 2
    assert capsys.readouterr().err == "biomedica: expected a stage; --help lists them\n"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [stage for stage in CONFIGS if f"\n  {stage} " not in text] == []
    assert cli.main(["train", "--help"]) == 0
    assert "--batch_size INTEGER" in capsys.readouterr().out
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"biomedica_ray \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_no_job_has_the_name_of_a_module_of_python() -> None:
    """``python jobs/NAME.py`` puts jobs/ before the library: of a jobs/select.py, ``import select`` would find that."""
    jobs = {path.stem for path in (Path(__file__).parents[1] / "jobs").glob("*.py")}
    assert "extract" in jobs
    assert jobs.isdisjoint(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../x", "a..b", ".hidden", "a.", "a\n", "a b"])
@pytest.mark.parametrize("stage", ["train", "evaluate", "merge", "report", "select"])
def test_a_name_leads_nowhere_else(stage: str, name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^name: expected letters, digits, - and _, with single dots between them, got"
    ):
        load(stage, ["--store", "s", "--name", name])


@pytest.mark.parametrize(("key", "value"), [("of", "[a, ..]"), ("selection", "..")])
def test_other_keys_that_become_a_part_of_a_path(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{key}\S*: expected letters, digits"):
        load("merge", ["--store", "s", f"--{key}", value])


@pytest.mark.parametrize("name", ["clip", "bmc-clip-1.1-8192", "run_2", "Größe"])
def test_names_that_are_good(name: str) -> None:
    assert load("train", ["--store", "s", "--name", name]).model_dump()["name"] == name


def test_help_names_every_kind_of_object_storage() -> None:
    assert tuple(re.findall(r"\w+://", BUCKETS)) == OBJECT_STORAGE
    for stage, key in (("extract", "packages"), ("train", "pretrained"), ("label", "taxonomy"), ("dedupe", "against")):
        assert BUCKETS in str(CONFIGS[stage].model_fields[key].description)
    assert tuple(re.findall(r"(\w+://)\w+/prefix", A_PLACE)) == OBJECT_STORAGE
