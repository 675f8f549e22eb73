"""`ray job submit --working-dir . -- python jobs/merge.py --config jobs/merge.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["merge", *sys.argv[1:]]))
