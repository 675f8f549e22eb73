"""`ray job submit --working-dir . -- python jobs/train-panels.py --config jobs/train-panels.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["train-panels", *sys.argv[1:]]))
