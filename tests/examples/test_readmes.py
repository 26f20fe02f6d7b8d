"""The commands of each example's README, as written, in a copy of the example."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from hog_dagster.sandbox import Sandbox
from tests.examples.kit import EXAMPLES, commands

#: Example -> a query on what its commands have been loaded.
LANDED = {
    "yaml_only": "select count(*) from posthog.workflow_logs",
    "insights_to_bi": "select count(*) from bi.visitors_by_browser where supported",
    "dbt_audience": "select count(*) from marts.newsletter_readers",
}


@pytest.mark.integration
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "name",
    [
        "yaml_only",
        "insights_to_bi",
        pytest.param("dbt_audience", marks=pytest.mark.integration),
    ],
)
def test_the_commands_of_a_readme_work_as_written(name: str, tmp_path: Path) -> None:
    if name == "dbt_audience":
        pytest.importorskip("dagster_dbt")
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder)
    binaries = Path(sys.executable).parent
    with Sandbox("current", limits=False) as sandbox:
        started = sandbox.clock.now()
        given = (folder / ".env.example").read_text(encoding="utf-8")
        given = given.replace("http://127.0.0.1:8899", sandbox.url)
        (folder / ".env").write_text(given.replace("phx_sandbox", sandbox.api_key), "utf-8")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(commands(name))],
            cwd=folder,
            env={
                "PATH": f"{binaries}:/usr/local/bin:/usr/bin:/bin",
                "HOME": str(tmp_path),
                "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(EXAMPLES.parent)]),
                "DAGSTER_DG_UPDATE_CHECK_ENABLED": "0",
                "DAGSTER_HOME": str(tmp_path),
                "LANG": "C.UTF-8",
                "DO_NOT_TRACK": "1",
            },
            capture_output=True,
            text=True,
            timeout=380,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        assert not [one for one in sandbox.world.batch_sends if one.at >= started]
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        counted = connection.execute(LANDED[name]).fetchone()
    assert counted is not None
    assert counted[0] > 0
