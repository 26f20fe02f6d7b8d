"""The state of a component: the snapshot of PostHog's objects, and what of it is selected.

Facts: the state is read by `dg utils refresh-defs-state`, and under `dagster dev` while definitions
are loaded, which must not wait for a PostHog that does not respond.
"""

import msgspec

from hog_dagster._shared.clock import SYSTEM_CLOCK
from hog_dagster._shared.postgres_urls import is_postgres
from hog_dagster.components._fields import ComponentFields
from hog_dagster.components._names import chosen_text
from hog_dagster.lineage import HogFunctionSelection, Snapshot, read_snapshot
from hog_dagster.policies import same_id
from hog_dagster.posthog import PostHogClient, Timeouts
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.settings import Everywhere, connection_settings, read_settings

#: The host when none is given.
CLOUD = "https://us.posthog.com"
#: Seconds that reading the objects may take while definitions are loaded.
_WHILE_LOADING_S = 60.0


def read_state(component: ComponentFields, *, loading: bool) -> Snapshot:
    """Read workflows, hog functions, insights and group types. While definitions are loaded PostHog
    has a minute at most."""
    with PostHogClient(
        component.host or CLOUD,
        component.api_key or "",
        component.project_id or "",
        max_wait=60.0,
        timeout=Timeouts(read=component.read_timeout_seconds),
        headroom=component.headroom,
        **connection_settings(
            rate_limit=component.rate_limit or _ledger_if_shared(component),
            ca_file=component.ca_file,
            client_certificate=component.client_certificate,
        ),
    ) as opened:
        client = _in_time(opened) if loading else opened
        read = read_snapshot(
            client,
            workflows=component.workflows,
            hog_functions=component.hog_functions,
            insights=component.insights,
        )
        read = msgspec.structs.replace(read, chosen=chosen_text(component))
        if component.groups is None:
            return read
        try:
            types = tuple(str(one.group_type) for one in client.groups.types())
        except PostHogError:  # their tables say why
            return read
        return msgspec.structs.replace(read, group_types=types)


def _in_time(client: PostHogClient) -> PostHogClient:
    """Definitions load soon even where PostHog does not respond; a command has the time."""
    end = SYSTEM_CLOCK.monotonic() + _WHILE_LOADING_S
    return client.with_limits(_WHILE_LOADING_S, until=end)


def _ledger_if_shared(component: ComponentFields) -> str | None:
    """The ledger that is given, if other machines can count in it."""
    given = component.ledger or ""
    return given if not read_settings(Everywhere).rate_limit and is_postgres(given) else None


def selected_state(component: ComponentFields, snapshot: Snapshot) -> Snapshot:
    """The state without what is not selected any more; workflows of batch jobs stay."""
    flows = component.workflows
    functions = component.hog_functions or HogFunctionSelection()
    sent = {same_id(job.workflow) for job in component.batch_jobs}
    return msgspec.structs.replace(
        snapshot,
        workflows=tuple(
            one for one in snapshot.workflows if one in flows or {same_id(one.id), one.name} & sent
        ),
        hog_functions=tuple(one for one in snapshot.hog_functions if one in functions),
    )
