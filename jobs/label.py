"""`ray job submit --working-dir . -- python jobs/label.py --config jobs/label.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["label", *sys.argv[1:]]))
