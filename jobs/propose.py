"""`ray job submit --working-dir . -- python jobs/propose.py --config jobs/propose.yaml`."""

import sys

from biomedica_ray.cli import main

sys.exit(main(["propose", *sys.argv[1:]]))
