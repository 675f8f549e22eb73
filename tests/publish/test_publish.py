"""Datasets and models on a server that speaks the Hub's API, through the real huggingface_hub, and on an S3 server."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray import schema
from biomedica_ray.cli import main
from biomedica_ray.publish.command import BATCH_FILES, batches
from biomedica_ray.publish.contents import File
from biomedica_ray.serialize import gathered
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.hub import TOKEN, Hub, hub_server
from tests.fakes.s3 import client, s3_server, upload

GUIDE = Path(__file__).parents[2] / "docs" / "publishing.md"

SHARDS = [("commercial", "train", 0), ("commercial", "test", 0), ("noncommercial", "train", 0)]


ALL = 6 + 2 + 1 + 3 + 5 + 6 + 2
"""Files: shards; credit and metadata; changes; cards and Croissant; charts; indices; statistics and dataset.json."""
OF_COMMERCIAL = ALL - 2 - 2

COUNTS = {
    "samples": 2,
    "licences": {"CC BY": 2},
    "years": {"2021": 2},
    "journals": {"J $Tests": 2},
    "concepts": {},
    "caption_words": {"0-9": 2},
    "longest_side": {"0-127": 2},
}


def nothing(type_: pa.DataType) -> Any:
    """A value that says nothing."""
    if pa.types.is_struct(type_):
        return None
    of = {pa.string(): "", pa.bool_(): False}
    return [] if pa.types.is_list(type_) else of.get(type_, 0)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a dataset of three shards, and a model, of bytes that nobody reads as what they are called."""
    shards = []
    for group, split, number in SHARDS:
        name = f"{group}-{split}-{number:06d}"
        files = {"path": f"webdataset/{group}/{split}/{name}.tar", "parquet": f"parquet/{group}/{split}/{name}.parquet"}
        shard: dict[str, object] = {**files, "license_group": group, "split": split, "samples": 1}
        row = pa.Table.from_pylist(
            [{**{field.name: nothing(field.type) for field in schema.DATASET}, "key": name}], schema.DATASET
        )
        for key, prefix in (("path", ""), ("parquet", "parquet_")):
            file = tmp_path / "store" / "dataset" / files[key]
            file.parent.mkdir(parents=True)
            if prefix:
                pq.write_table(row, file)
            else:
                file.write_bytes(f"{files[key]} ".encode() * 50)
            data = file.read_bytes()
            shard |= {f"{prefix}bytes": len(data), f"{prefix}sha256": hashlib.sha256(data).hexdigest()}
        shards.append(shard)
    dataset = tmp_path / "store" / "dataset"
    for name, columns in gathered.FILES.items():
        pq.write_table(columns.empty_table(), dataset / name)
    (dataset / "CHANGES.md").write_text("# Changes\n")
    (dataset / "statistics.json").write_text(json.dumps(dict.fromkeys(("commercial", "noncommercial"), COUNTS)))
    settings = {
        "version": "1.0.0",
        "license_groups": ["commercial", "noncommercial", "other"],
        "validation_fraction": 0.0,
        "test_fraction": 0.2,
        "samples": 3,
    }
    (dataset / "dataset.json").write_text(json.dumps({**settings, "shards": shards}))
    model = tmp_path / "store" / "checkpoints" / "clip" / "model"
    model.mkdir(parents=True)
    (model / "open_clip_model.safetensors").write_bytes(b"weights" * 100)
    (model / "open_clip_config.json").write_text("{}")
    (model / "README.md").write_text("---\nlibrary_name: open_clip\n---\n# clip\n")
    return tmp_path / "store"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server() as hub:
        yield hub


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with s3_server() as url:
        client(url).create_bucket(Bucket="public")
        yield url


def command(store: object, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "biomedica_ray", "publish", "--store", str(store), *arguments]


def environment(hub: Hub | None, **others: str) -> dict[str, str]:
    # The server has no Xet storage, which huggingface_hub would ask for otherwise.
    at = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"} if hub else {}
    return {**os.environ, **at, **others}


def publish(hub: Hub | None, store: object, *arguments: str, **others: str) -> tuple[int, list[str], list[str]]:
    """Exit code, and the lines of both outputs."""
    line = command(store, *arguments)
    done = subprocess.run(
        line, env=environment(hub, **others), capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


def listed(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def of_serialize(store: Path) -> dict[str, bytes]:
    """The files that serialize itself wrote, without cards and indices."""
    return {
        path: data
        for path, data in listed(store / "dataset").items()
        if path.endswith((".tar", ".parquet")) and path not in gathered.FILES
    }


def test_a_dataset_goes_to_the_hub_and_is_what_it_was(store: Path, hub: Hub) -> None:
    code, out, err = publish(hub, store, "--to", "hf://us/figures", "--dry_run", "true")
    assert code == 0 and not hub.repositories
    assert len(out) == ALL
    assert out[-1].startswith("+ dataset.json")
    assert publish(hub, store, "--to", "hf://us/figures")[0] == 0
    there = hub.repositories["datasets/us/figures"]
    assert {f"+ {path}" for path in there} == {line.rpartition(" ")[0].rpartition(" ")[0] for line in out}
    assert of_serialize(store).items() <= there.items()
    assert json.loads(there["dataset.json"]) == json.loads((store / "dataset" / "dataset.json").read_text())
    assert hub.commits[-1][-1] == "dataset.json"
    code, _, err = publish(hub, store, "--to", "hf://datasets/us/figures")
    assert code == 0 and f"0 files, 0 B, uploaded, {ALL} were there" in err[-1]
    assert len(hub.commits) == 2


def test_a_part_goes_with_cards_of_its_own_and_what_is_no_more_goes_on_demand(store: Path, hub: Hub) -> None:
    assert publish(hub, store, "--to", "hf://us/figures")[0] == 0
    there = hub.repositories["datasets/us/figures"]
    there["LICENSE"] = b"ours"
    part = ["--to", "hf://us/figures", "--license_groups", "commercial"]
    code, _, err = publish(hub, store, *part)
    assert code == 0 and "4 files of an earlier dataset are still there" in err[-1]
    document = json.loads(there["dataset.json"])
    assert {shard["license_group"] for shard in document["shards"]} == set(document["license_groups"]) == {"commercial"}
    assert b"noncommercial" not in there["README.md"].partition(b"# Licences")[0]
    credited = pq.read_table(pa.BufferReader(there["attribution.parquet"]))["key"].to_pylist()
    assert credited == ["commercial-train-000000", "commercial-test-000000"]
    assert json.loads(there["statistics.json"]) == {"commercial": COUNTS}
    assert "| J $Tests | 2 | 100.0% |" in there["README.md"].decode()
    code, out, _ = publish(hub, store, *part, "--delete", "true", "--dry_run", "true")
    gone = [path for path in there if "/noncommercial/" in path]
    assert code == 0 and out == [f"- {path}" for path in sorted(gone)]
    assert publish(hub, store, *part, "--delete", "true")[0] == 0
    assert not [path for path in there if "/noncommercial/" in path] and there["LICENSE"] == b"ours"


def test_the_commands_of_the_guide(store: Path, hub: Hub, s3: str) -> None:
    """As they stand, but for the store's place, and for the server of the bucket."""
    shutil.copytree(store / "dataset", store / "selections" / "dermatology" / "dataset")
    lines = re.findall(r"^(biomedica publish .*?)(?: *#.*)?$", GUIDE.read_text(), re.M)
    for line in lines:
        arguments = shlex.split(line.replace("s3://YOUR_BUCKET/pmc", str(store)).replace("PUBLIC_BUCKET", "public"))[2:]
        code, _, err = publish(hub, *arguments[1:], *(["--to_endpoint_url", s3] if "--to s3:" in line else []))
        assert code == 0, err
    assert len(lines) == 5
    models = {path: data for path, data in hub.repositories.items() if path.startswith("models/")}
    assert models == {"models/OWNER/MODEL": listed(store / "checkpoints" / "clip" / "model")}
    datasets = {path: len(files) for path, files in hub.repositories.items() if path.startswith("datasets/")}
    assert datasets == {"datasets/OWNER/NAME": ALL, "datasets/OWNER/NAME-commercial": OF_COMMERCIAL}
    assert client(s3).list_objects_v2(Bucket="public", Prefix="pmc/")["KeyCount"] == ALL


def test_a_private_repository_is_made_and_a_public_one_is_not_taken_for_one(store: Path, hub: Hub) -> None:
    assert publish(hub, store, "--to", "hf://us/mine", "--model", "clip", "--private", "true")[0] == 0
    assert hub.private == {"models/us/mine"}
    assert publish(hub, store, "--to", "hf://us/mine", "--model", "clip", "--private", "true")[0] == 0
    hub.repositories["models/us/ours"] = {}
    code, _, err = publish(hub, store, "--to", "hf://us/ours", "--model", "clip", "--private", "true")
    assert code == 2 and "private: hf://us/ours is public already" in err[-1]
    assert hub.repositories["models/us/ours"] == {}


def test_what_was_killed_goes_on_and_sends_nothing_twice(store: Path, hub: Hub) -> None:
    """The process dies at its first commit, after its uploads."""
    running: list[subprocess.Popen[bytes]] = []

    def kill(method: str, path: str) -> int | None:
        if path.endswith("/commit/main"):
            running[0].send_signal(signal.SIGKILL)
            return 503
        return None

    hub.spoil = kill
    running.append(subprocess.Popen(command(store, "--to", "hf://us/figures"), env=environment(hub)))
    assert running[0].wait(60) == -signal.SIGKILL
    assert not hub.commits and len(hub.uploads) == 6
    hub.spoil = lambda _, __: None
    assert publish(hub, store, "--to", "hf://us/figures")[0] == 0
    assert len(hub.uploads) == len(set(hub.uploads)) == 8
    assert of_serialize(store).items() <= hub.repositories["datasets/us/figures"].items()


def test_a_hub_that_refuses_for_a_while_is_asked_again(store: Path, hub: Hub) -> None:
    refused: dict[str, int] = {}

    def refuse(method: str, path: str) -> int | None:
        what = path.rpartition("/")[2] if "/lfs/" not in path else "lfs"
        refused[what] = refused.get(what, 0) + 1
        return 503 if refused[what] == 1 else None

    hub.spoil = refuse
    assert publish(hub, store, "--to", "hf://us/figures")[0] == 0
    assert {"main", "create", "lfs"} <= refused.keys()
    assert len(hub.repositories["datasets/us/figures"]) == ALL


def test_a_shard_that_is_not_what_dataset_json_says_is_not_published(store: Path, hub: Hub) -> None:
    tar = store / "dataset" / "webdataset" / "commercial" / "train" / "commercial-train-000000.tar"
    tar.write_bytes(tar.read_bytes()[::-1])
    code, _, err = publish(hub, store, "--to", "hf://us/figures")
    assert code == 1 and f"{tar}: SHA-256 is" in err[-1]
    tar.unlink()
    code, _, err = publish(hub, store, "--to", "hf://us/figures")
    assert code == 1 and f"{tar}: missing" in err[-1]
    assert not hub.commits


def test_a_bucket_gets_the_same_and_nothing_twice(store: Path, s3: str) -> None:
    """From a store on S3 to another bucket; an object that has changed is sent again, and it alone."""
    upload(s3, store, "ours", "store")
    line = ["--endpoint_url", s3, "--to", "s3://public/figures", "--to_endpoint_url", s3]
    code, _, err = publish(None, "s3://ours/store", *line)
    assert code == 0 and f"{ALL} files" in err[-1] and "0 were there" in err[-1]
    keys = [entry["Key"] for entry in client(s3).list_objects_v2(Bucket="public", Prefix="figures/")["Contents"]]
    for path, data in of_serialize(store).items():
        assert client(s3).get_object(Bucket="public", Key=f"figures/{path}")["Body"].read() == data
    assert len(keys) == ALL
    client(s3).put_object(Bucket="public", Key="figures/dataset.json", Body=b"{}")
    code, out, _ = publish(None, "s3://ours/store", *line, "--dry_run", "true")
    assert code == 0 and [line.split()[1] for line in out] == ["dataset.json"]
    client(s3).put_object(Bucket="public", Key="figures/parquet/old/train/old-000000.parquet", Body=b"old")
    assert publish(None, "s3://ours/store", *line, "--delete", "true")[0] == 0
    there = client(s3).list_objects_v2(Bucket="public", Prefix="figures/")["Contents"]
    assert [entry["Key"] for entry in there] == keys


def test_a_server_that_refuses_and_cuts_gets_all_of_it_in_the_end(store: Path, s3: str) -> None:
    """Each file's first request is refused, and the connection of the second ends before its answer."""
    spoil = {0: "503", 1: "lose"}
    with flaky_proxy(s3, lambda path, before: spoil.get(before) if path.startswith("/public/") else None) as (url, _):
        code, _, err = publish(None, store, "--to", "s3://public/refused", "--to_endpoint_url", url)
    assert code == 0, err
    for path, data in of_serialize(store).items():
        assert client(s3).get_object(Bucket="public", Key=f"refused/{path}")["Body"].read() == data
    assert client(s3).list_objects_v2(Bucket="public", Prefix="refused/")["KeyCount"] == ALL


def test_a_place_in_the_store_itself_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["publish", "--store", "s3://ours/pmc", "--to", "s3://ours/pmc/dataset", "--delete", "true"]
    assert main(line) == 2
    assert "to: s3://ours/pmc/dataset: is in the store itself" in capsys.readouterr().err


def test_a_bucket_that_is_not_there_is_one_line(store: Path, s3: str) -> None:
    code, _, err = publish(None, store, "--to", "s3://nobody/figures", "--to_endpoint_url", s3)
    assert code == 2 and len(err) == 1
    assert "to: s3://nobody/figures: " in err[0] and "NoSuchBucket" in err[0]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--to", "hf://figures"], "to: hf://figures: expected hf://OWNER/NAME for a dataset"),
        (["--to", "hf://models/us/figures"], "to: hf://models/us/figures: expected hf://OWNER/NAME for a dataset"),
        (["--to", "figures"], "to: figures: expected hf://OWNER/NAME or s3://BUCKET/FOLDER"),
        (["--to", "s3://bucket"], "to: s3://bucket: expected s3://BUCKET/FOLDER"),
        (["--to", "hf://us/it", "--model", "none"], "model: none: no "),
        (["--to", "hf://us/it", "--selection", "none"], "no selections/none/dataset/dataset.json; run `biomedica"),
        (["--to", "hf://us/it", "--license_groups", "comercial"], "license_groups: comercial: did you mean commercial"),
        (["--to", "hf://us/it", "--model", "clip", "--license_groups", "other"], "model: a model has neither"),
        (["--to", "hf://us/it", "--model", "clip", "--delete", "true"], "delete: a model replaces its own files"),
        (["--to", "s3://bucket/it", "--private", "true"], "private: only a repository of the Hub can be made private"),
        (["--to", "hf://us/it", "--to_endpoint_url", "http://h"], "to_endpoint_url: only for s3://"),
    ],
)
def test_what_is_wrong_is_one_line(
    store: Path, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", "--store", str(store), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_a_token_that_may_not_write_is_one_line(store: Path, hub: Hub) -> None:
    code, _, err = publish(hub, store, "--to", "hf://us/figures", HF_TOKEN="hf_reads")
    assert code == 2 and len(err) == 1
    assert "to: hf://us/figures: the Hub refuses; set HF_TOKEN" in err[0]


def test_batches_keep_order_and_limits() -> None:
    files = [File(str(number), 1, "", str(number)) for number in range(BATCH_FILES + 1)]
    huge = File("huge", 10**12, "", "huge")
    found = list(batches([huge, *files, huge]))
    assert [file for batch in found for file in batch] == [huge, *files, huge]
    assert [len(batch) for batch in found] == [1, BATCH_FILES, 1, 1]
