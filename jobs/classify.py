"""`ray job submit --working-dir . -- python jobs/classify.py --config jobs/classify.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["classify", *sys.argv[1:]]))
