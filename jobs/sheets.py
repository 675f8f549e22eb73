"""`ray job submit --working-dir . -- python jobs/sheets.py --config jobs/sheets.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["sheets", *sys.argv[1:]]))
