"""`python -m hog_dagster`: the command line without its script."""

import sys

from hog_dagster.cli import main

sys.exit(main())
