"""`ray job submit --working-dir . -- python jobs/enrich.py --config jobs/enrich.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["enrich", *sys.argv[1:]]))
