"""`ray job submit --working-dir . -- python jobs/panels.py --config jobs/panels.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["panels", *sys.argv[1:]]))
