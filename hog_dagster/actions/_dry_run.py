"""Says what an action would send, without sending it: the request line and the body.

Facts: the register of endpoints, from which the client makes the same address.
"""

import json
from collections.abc import Mapping
from typing import Any

from hog_dagster.actions._protocol import Actor, Source
from hog_dagster.posthog import ENDPOINTS, Endpoint


def rerun_endpoint(source: Source) -> Endpoint:
    """The endpoint that reruns runs of a workflow or hog function."""
    return ENDPOINTS["workflows.rerun" if source.type == "workflow" else "hog_functions.rerun"]


def would_send(actor: Actor, endpoint: Endpoint, source: Source, body: Mapping[str, Any]) -> str:
    """Log the request that an action would send, and give it back: `POST <address> <JSON body>`."""
    address = endpoint.url(actor.project_id, {"id": source.id})
    text = f"{endpoint.method} {actor.client.host.rstrip('/')}{address} {json.dumps(dict(body))}"
    actor.log.info(f"Dry run, {source.label}: would {text}")
    return text
