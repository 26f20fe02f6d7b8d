"""``python -m hog_dagster.sandbox``: the same as ``hog-dagster sandbox``."""

import argparse
import sys

from hog_dagster.sandbox.command import add_arguments, run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m hog_dagster.sandbox")
    add_arguments(parser)
    sys.exit(run(parser.parse_args()))
