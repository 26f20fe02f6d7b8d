"""Hog functions, groups, insights and what is on its way survive a restart of the sandbox."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from hog_dagster.sandbox import Generation, Sandbox
from tests.sandbox.conftest import Http
from tests.sandbox.insight_kit import node, tell, viz


@pytest.mark.parametrize("generation", ["docs", "current"])
def test_a_restart_forgets_nothing(tmp_path: Path, generation: Generation) -> None:
    path = tmp_path / "state.json"
    options: dict[str, Any] = {"populate": False, "state_path": path, "limits": False}
    with Sandbox(generation, **options) as sandbox, Http(sandbox) as http:
        tell(sandbox)
        sandbox.world.add_group_type("company")
        sandbox.world.add_group(0, "acme", {"plan": "pro"})
        function = sandbox.world.add_hog_function(
            inputs_schema=[{"key": "token", "type": "string", "secret": True}],
            inputs={"token": {"value": "s3cr3t"}},
        )["id"]
        insight = sandbox.world.add_insight("Visits", viz("TrendsQuery", series=[node("visit")]))[
            "id"
        ]
        result = http.get(f"/insights/{insight}/?refresh=blocking").json()["result"]
        event = {
            "event": "$groupidentify",
            "distinct_id": "d",
            "properties": {"$group_type": "company", "$group_key": "new", "$group_set": {"a": 1}},
        }
        body = {"api_key": "phc_sandbox", "batch": [event]}
        assert httpx.post(sandbox.url + "/batch/", json=body).status_code == 200
    with Sandbox(generation, **options) as sandbox, Http(sandbox) as http:
        again = http.get(f"/insights/{insight}/").json()
        assert (again["is_cached"], again["result"]) == (True, result)
        shown = http.get(f"/hog_functions/{function}/").json()["inputs"]
        assert shown == {"token": {"secret": True}}
        stored = sandbox.world.hog_functions[function]
        assert stored.secrets["token"]["value"] == "s3cr3t"
        assert [row["group_type"] for row in http.get("/groups_types/").json()] == ["company"]
        sandbox.clock.advance(60)
        find = "/groups/find/?group_type_index=0&group_key="
        assert http.get(find + "acme").json()["group_properties"] == {"plan": "pro"}
        assert http.get(find + "new").json()["group_properties"] == {"a": 1}
