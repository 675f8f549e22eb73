"""``python -m biomedica_ray STAGE``, where the package is not installed: in a job that brought its code along."""

import sys

from biomedica_ray.cli import main

sys.exit(main())
