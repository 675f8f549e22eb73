"""`ray job submit --working-dir . -- python jobs/evaluate.py --config jobs/evaluate.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["evaluate", *sys.argv[1:]]))
