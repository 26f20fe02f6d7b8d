"""How-to: 90 days of 300 workflows, with progress, Ctrl-C and resuming."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from hog_dagster.sandbox.world import step
from tests.howtos.kit import Walk, blocks
from tests.howtos.test_howtos import YAML, at

PAGE = "howto/read-90-days-of-300-workflows"
#: A shell starts what runs in the background deaf to Ctrl-C; this hears it.
HEARS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from hog_dagster.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_90_days_of_300_workflows_stop_at_ctrl_c_and_go_on(walk: Callable[..., Walk]) -> None:
    on = walk(limits=None)
    world = on.sandbox.world
    for number in range(300):
        call = step("call", "function", {"template_id": "template-webhook", "inputs": {}}, "Call")
        begun = at(1) - timedelta(days=120)
        flow = world.add_workflow(f"Workflow {number}", actions=[call], created_at=begun)["id"]
        for day in range(90):
            when = at(29, 23) - timedelta(days=day, minutes=number)
            world.emit_metric(flow, when, "succeeded", "success")
            if day < 30 and number % 10 == 0:
                world.add_run(flow, "failed", when, fails_at="call")
    on.write_yaml(YAML)
    plan, read, again, sql = blocks(PAGE)
    on.carry_out(plan)
    assert on.done is not None
    assert "workflow_metrics 3 runs" in on.done.said

    words = read.text.split()[1:]
    on.sandbox.reset_counts()
    running = subprocess.Popen(
        [sys.executable, "-c", HEARS, *words],
        cwd=on.project.root,
        env={**os.environ, **on.environment, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not on.instance.get_runs_count():
        assert running.poll() is None
        time.sleep(0.05)
    held = on.sandbox.fail(path="*/query*", times=100_000, delay=20)
    while not held.hits:
        assert running.poll() is None
        time.sleep(0.05)
    pressed = time.monotonic()
    running.send_signal(signal.SIGINT)
    said, complained = running.communicate(timeout=60)
    assert running.returncode == 130
    assert time.monotonic() - pressed < 5
    assert "The same command goes on" in " ".join(said.split())
    assert "Traceback" not in said + complained

    on.sandbox.clear_faults()
    on.sandbox.reset_counts()
    on.carry_out(again)
    used = on.sandbox.count(path="*/query*")
    assert used < 100
    on.carry_out(sql)
    assert on.rows[0][1] == 30
    days = on.ask(
        "SELECT count(DISTINCT hour::date), count(DISTINCT workflow_id), sum(value)"
        " FROM posthog.workflow_metrics WHERE metric = 'succeeded'"
    )
    assert days == [(90, 300, 27_000)]
    finished = on.typed(*words, **on.environment)
    assert "Nothing is left to read" in finished.out
