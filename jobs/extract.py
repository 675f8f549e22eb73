"""`ray job submit --working-dir . -- python jobs/extract.py --config jobs/extract.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["extract", *sys.argv[1:]]))
