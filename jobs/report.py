"""`ray job submit --working-dir . -- python jobs/report.py --config jobs/report.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["report", *sys.argv[1:]]))
