"""`hog-dagster dev`: the Dagster UI, on the project of this folder or on the sandbox.

Facts: `dagster dev` serves the UI and runs the daemon; it reads DAGSTER_HOME and the environment
the code location is built from.
"""

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click

from hog_dagster._shared.extras import needs_extra
from hog_dagster._shared.home import default_home, make_home
from hog_dagster.cli._project import (
    ENVIRONMENT,
    Usage,
    definitions_module,
    dg_project_folder,
    find_project,
    project_options,
)

#: What Dagster says about its own code, and not about the user's.
_OF_DAGSTER_ALONE = (
    "ignore:Function `dev_command` is superseded",
    "ignore:Parameter `owners` of initializer `SensorDefinition",
    "ignore:Parameter `execution_type` of function `AssetsDefinition",
)


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=3000, show_default=True, help="Of the UI."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the UI.")
@click.option(
    "--generation",
    type=click.Choice(["current", "mid2026", "docs"]),
    default="current",
    show_default=True,
    help="Which PostHog the sandbox plays when no key is set.",
)
@project_options
def command(
    module: str | None, component: str | None, port: int, host: str, generation: str
) -> int:
    """Open the Dagster UI: on the project of this folder, on the environment, or on the sandbox.

    The sandbox is taken where there is no project and no POSTHOG_API_KEY.
    """
    with needs_extra("ui", "The Dagster UI"):
        if find_spec("dagster_webserver") is None:
            raise ModuleNotFoundError(name="dagster_webserver")
    _refuse_taken_port(host, port)
    with ExitStack() as stack:
        target, environment = _target(stack, module, component, generation)
        environment.setdefault("PYTHONWARNINGS", ",".join(_OF_DAGSTER_ALONE))
        home = environment["DAGSTER_HOME"]
        print(f"Dagster home: {home}\nThe UI opens at http://{host}:{port}", flush=True)
        # Both end like Ctrl-C, also in a shell that started us with interrupts ignored. Before the
        # services start: a process inherits what is ignored, and would outlive us.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        process = subprocess.Popen([*target, "--port", str(port), "--host", host], env=environment)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
            return 0


def _refuse_taken_port(host: str, port: int) -> None:
    """Say so before Dagster's services start: they would go on without a UI."""
    try:
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        raise click.ClickException(
            f"{host}:{port} cannot be used ({error.strerror or error}): the UI may be open at "
            f"http://{host}:{port} already; stop what holds the port, or choose another: --port."
        ) from None


def _target(
    stack: ExitStack, module: str | None, component: str | None, generation: str
) -> tuple[list[str], dict[str, str]]:
    """The command that serves the UI, and its environment; says what it shows."""
    dagster = [sys.executable, "-m", "dagster", "dev"]
    root = None if module else dg_project_folder()
    if module or root is not None or os.environ.get("POSTHOG_API_KEY", "").strip():
        try:
            project = find_project(module, component)
        except Usage:
            if root is None or component is not None:
                raise
            print(f"Project {root.name}.")  # several PostHog projects: the UI shows them all
        else:
            with project.opened() as opened:
                print(project.said(opened) + ".")
        home = make_home(default_home())
        environment = {**os.environ, "DAGSTER_HOME": str(home)}
        if root is None:
            return [*dagster, "-m", module or ENVIRONMENT], environment
        os.chdir(root)
        if find_spec("dagster_dg_cli") is not None:
            start = "from dagster_dg_cli.cli import main; main()"
            return [sys.executable, "-c", start, "dev"], environment
        return [*dagster, "-m", definitions_module(root)], environment
    from hog_dagster.cli._demo_sandbox import DEMO_HOME, demo_environment, start_sandbox

    home = make_home(Path(os.environ.get("DAGSTER_HOME", "").strip() or DEMO_HOME))
    sandbox = stack.enter_context(start_sandbox(home, generation))
    environment = {**os.environ, **demo_environment(home, sandbox), "DAGSTER_HOME": str(home)}
    print(
        f"No POSTHOG_API_KEY is set: Dagster on the sandbox at {sandbox.url} "
        f"(a PostHog of its own, {generation} generation). Set POSTHOG_HOST, "
        "POSTHOG_API_KEY and POSTHOG_PROJECT_ID for your project."
    )
    return [*dagster, "-m", ENVIRONMENT], environment
