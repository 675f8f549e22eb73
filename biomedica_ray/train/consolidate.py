"""The weights of a checkpoint as whole files, where each worker wrote its own part of it (``shard: fsdp``).

    python -m biomedica_ray.train.consolidate STORE NAME STEP FOLDER

writes ``model.safetensors``, and ``average.safetensors`` where there is one, as they lie in other checkpoints.
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from biomedica_ray.store import Store, StoreError
from biomedica_ray.train.checkpoints import Checkpoints

_WEIGHTS = ("model.safetensors", "average.safetensors")


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    if len(arguments) != 4 or not arguments[2].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    root, name, step, folder = arguments
    checkpoints = Checkpoints(Store(root), name)
    try:
        there = [kept.step for kept in checkpoints.kept()]
        if int(step) not in there:
            raise StoreError(f"{root}: {name}: no checkpoint of step {step}, expected one of {there}")
        files = checkpoints.load(int(step))
    except StoreError as error:
        print(error, file=sys.stderr)
        return 1
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file in files.keys() & set(_WEIGHTS):
        save_file(files[file], Path(folder) / file)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
