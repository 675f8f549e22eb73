"""`ray job submit --working-dir . -- python jobs/dedupe.py --config jobs/dedupe.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["dedupe", *sys.argv[1:]]))
