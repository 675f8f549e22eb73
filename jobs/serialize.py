"""`ray job submit --working-dir . -- python jobs/serialize.py --config jobs/serialize.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["serialize", *sys.argv[1:]]))
