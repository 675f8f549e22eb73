"""`ray job submit --working-dir . -- python jobs/check.py --config jobs/check.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["check", *sys.argv[1:]]))
