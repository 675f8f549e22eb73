"""`ray job submit --working-dir . -- python jobs/pipeline.py --config jobs/pipeline.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["pipeline", *sys.argv[1:]]))
