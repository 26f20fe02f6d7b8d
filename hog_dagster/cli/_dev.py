"""`hog-dagster dev`: the Dagster UI on the default code location, with your project or the sandbox.

Facts: `dagster dev` serves the UI and runs the daemon; it reads DAGSTER_HOME and the environment
the code location is built from.
"""

import argparse
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from hog_dagster.extras import needs_extra
from hog_dagster.homes import default_home, make_home

__all__ = ["add_arguments", "run"]

#: What Dagster says about its own code, and not about the user's.
_OF_DAGSTER_ALONE = (
    "ignore:Function `dev_command` is superseded",
    "ignore:Parameter `owners` of initializer `SensorDefinition",
    "ignore:Parameter `execution_type` of function `AssetsDefinition",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--port", type=int, default=3000, help="of the UI (3000)")
    parser.add_argument("--host", default="127.0.0.1", help="address of the UI (127.0.0.1)")
    parser.add_argument(
        "--generation",
        choices=("current", "mid2026", "docs"),
        default="current",
        help="which PostHog the sandbox plays when no key is set",
    )


def run(args: argparse.Namespace) -> int:
    """Open the UI until it is interrupted."""
    with needs_extra("ui", "The Dagster UI"):
        if find_spec("dagster_webserver") is None:
            raise ModuleNotFoundError(name="dagster_webserver")
    environment = dict(os.environ)
    with ExitStack() as stack:
        if environment.get("POSTHOG_API_KEY", "").strip():
            home = make_home(default_home())
            host = environment.get("POSTHOG_HOST", "").strip() or "https://us.posthog.com"
            project = environment.get("POSTHOG_PROJECT_ID", "").strip() or "(not set)"
            print(f"Dagster on your PostHog project {project} at {host}.")
        else:
            from hog_dagster.cli._demo import DEMO_HOME, demo_environment, start_sandbox

            home = make_home(Path(os.environ.get("DAGSTER_HOME", "").strip() or DEMO_HOME))
            sandbox = stack.enter_context(start_sandbox(home, args.generation))
            environment |= demo_environment(home, sandbox)
            print(
                f"No POSTHOG_API_KEY is set: Dagster on the sandbox at {sandbox.url} "
                f"(a PostHog of its own, {args.generation} generation). Set POSTHOG_HOST, "
                "POSTHOG_API_KEY and POSTHOG_PROJECT_ID for your project."
            )
        environment["DAGSTER_HOME"] = str(home)
        environment.setdefault("PYTHONWARNINGS", ",".join(_OF_DAGSTER_ALONE))
        print(f"Dagster home: {home}. The UI opens at http://{args.host}:{args.port}", flush=True)
        command = [sys.executable, "-m", "dagster", "dev", "-m", "hog_dagster.definitions"]
        command += ["--port", str(args.port), "--host", args.host]
        # Both end like Ctrl-C, also in a shell that started us with interrupts ignored: the
        # services of `dagster dev` would inherit that and outlive it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        process = subprocess.Popen(command, env=environment)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
            return 0
