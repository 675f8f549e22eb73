"""`ray job submit --working-dir . -- python jobs/votes.py --config jobs/votes.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["votes", *sys.argv[1:]]))
