"""Says what an act would send, without sending it: the request line and the body, as they would go.

Facts: the register of endpoints, from which the client makes the same address.
"""

import json
from collections.abc import Mapping
from typing import Any

from hog_dagster.actions._protocol import Acting
from hog_dagster.posthog.endpoints import Endpoint
from hog_dagster.posthog.endpoints import workflows as endpoints

__all__ = ["endpoints", "would_send"]


def would_send(
    acting: Acting, endpoint: Endpoint, workflow_id: str, body: Mapping[str, Any]
) -> str:
    """Log the request that an act would send, and give it back: `POST <address> <JSON body>`."""
    address = endpoint.url(acting.project_id, {"id": workflow_id})
    text = f"{endpoint.method} {acting.client.host.rstrip('/')}{address} {json.dumps(dict(body))}"
    acting.log.info(f"Dry run: would {text}")
    return text
