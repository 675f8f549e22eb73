"""`ray job submit --working-dir . -- python jobs/annotate.py --config jobs/annotate.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["annotate", *sys.argv[1:]]))
