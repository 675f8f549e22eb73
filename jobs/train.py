"""`ray job submit --working-dir . -- python jobs/train.py --config jobs/train.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["train", *sys.argv[1:]]))
