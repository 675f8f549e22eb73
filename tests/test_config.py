from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from biomedica_ray import cli
from biomedica_ray.config import ConfigError
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from biomedica_ray.select.config import SelectConfig
from biomedica_ray.stages import CONFIGS, PipelineConfig, load, parser


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "extract.yaml"
    file.write_text("store: /from/file\nlimit: 5\nsource: pmc\n")
    config = load("extract", ["--config", str(file), "--limit", "7", "--source=sample"])
    assert isinstance(config, ExtractConfig)
    assert (config.store, config.limit, config.source) == ("/from/file", 7, "sample")


def test_text_fields_stay_text_and_null_is_none() -> None:
    config = load("extract", ["--store", "2024", "--bucket", "true", "--limit", "null"])
    assert isinstance(config, ExtractConfig)
    assert (config.store, config.bucket, config.limit) == ("2024", "true", None)


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


@pytest.mark.parametrize(
    ("stage", "arguments", "message"),
    [
        ("extract", [], "store: missing; expected root of the dataset"),
        ("extract", ["--store", "s", "--limt", "5"], "limt: unknown key; expected one of store, endpoint_url"),
        ("extract", ["--store", "s", "--limit", "many"], "limit: Input should be a valid integer"),
        ("extract", ["--store", "s", "--limit", "0"], "limit: Input should be greater than or equal to 1, got 0"),
        ("extract", ["--store", "s", "--limit"], "limit: expected a value after it"),
        ("extract", ["--store", "s", "limit"], "limit: expected --key value"),
        ("extract", ["--store", "s", "--source", "ftp"], "source: Input should be 'sample', 'packages' or 'pmc'"),
        ("extract", ["--store", "s", "--source", "packages"], "packages: expected a directory or s3:// prefix"),
        ("dedupe", ["--store", "s", "--semantic_model", "m"], "min_cosine: missing; expected the least cosine"),
        ("dedupe", ["--store", "s", "--min_cosine", "0.9"], "semantic_model: missing; expected the model"),
        (
            "train",
            ["--store", "s", "--texts", "{captoin: 1}"],
            "texts.captoin",
        ),
        ("train", ["--store", "s", "--data", "d", "--selection", "n"], "selection: cannot be combined with data"),
        ("merge", ["--store", "s", "--data", "d", "--selection", "n"], "selection: cannot be combined with data"),
        (
            "train",
            ["--store", "s", "--texts", "{panel: 0}"],
            "texts: expected finite weights, at least one of them above 0",
        ),
        ("select", ["--store", "s", "--name", "a/b"], "name: expected letters, digits, - and _, with single dots"),
        (
            "select",
            ["--store", "s", "--name", "a", "--where", "widht > 3"],
            "where: widht: no such column; did you mean",
        ),
        ("select", ["--store", "s", "--name", "a", "--balance", "label"], "cap: missing; expected how many"),
        (
            "select",
            ["--store", "s", "--name", "a", "--balance", "colour", "--cap", "3"],
            "balance: colour: no such col",
        ),
        ("pipeline", ["--store", "s", "--extract.limt", "5"], "extract.limt: unknown key"),
        ("pipeline", ["--store", "s", "--dedupe.max_distance", "99"], "dedupe.max_distance: Input should be less than"),
        ("pipeline", ["--store", "s", "--extrct.limit", "5"], "extrct.limit: unknown section extrct"),
        ("extract", ["--config", "/no/such.yaml"], "--config /no/such.yaml: .*No such file"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(
    stage: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load(stage, arguments)
    assert "\n" not in str(raised.value)
    assert cli.main([stage, *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2\n"])
def test_a_file_that_is_no_config(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"--config .*bad\.yaml: "):
        load("dedupe", ["--config", str(file)])


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("labels", "labels.yaml", "give it to label: label.labels in a pipeline, `biomedica label --labels`"),
        ("panels", "true", "run `biomedica panels`, which finds them"),
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
def test_help_lists_every_field_with_default_and_meaning(stage: str) -> None:
    text = parser(stage).format_help()
    for name, field in CONFIGS[stage].model_fields.items():
        assert f"--{name} " in text
        assert str(field.description) in text


@pytest.mark.parametrize("stage", CONFIGS)
def test_the_shipped_configs_are_valid(stage: str) -> None:
    assert load(stage, ["--config", str(Path(__file__).parents[1] / "jobs" / f"{stage}.yaml")]).store


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "jobs" / "selections").glob("*.yaml")), ids=str)
def test_the_shipped_selections_are_valid_and_named_as_their_files(path: Path) -> None:
    config = load("select", ["--config", str(path)])
    assert isinstance(config, SelectConfig)
    assert config.name == path.stem
    concepts = papers_taxonomy().concepts
    assert set(re.findall(r"'([^']+)'", config.where or "")) <= concepts.keys()


def test_configs_do_not_change_after_they_are_read() -> None:
    config = DedupeConfig(store="s")
    with pytest.raises(ValueError, match="frozen"):
        config.store = "t"  # type: ignore[misc]


def test_no_stage_or_a_wrong_one_prints_the_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["extrct"]) == 2
    assert "serialize" in capsys.readouterr().err
    assert cli.main(["--help"]) == 0


def test_no_job_has_the_name_of_a_module_of_python() -> None:
    """``python jobs/NAME.py`` puts jobs/ before the library: of a jobs/select.py, ``import select`` would find that."""
    jobs = {path.stem for path in (Path(__file__).parents[1] / "jobs").glob("*.py")}
    assert "extract" in jobs
    assert jobs.isdisjoint(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../x", "a..b", ".hidden", "a.", "a\n", "a b"])
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
