"""`ray job submit --working-dir . -- python jobs/selection.py --config jobs/selections/concept-filtered.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["select", *sys.argv[1:]]))
