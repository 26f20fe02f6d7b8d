"""Running hog functions: tests and broadcasts. Reruns are in :mod:`source_runs`.

Facts: PostHog's hog_function viewsets of both generations and the worker behind them: mocking
covers Hog code only, not the functions written in the worker itself (native-*, segment-*).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hog_dagster.posthog import models
from hog_dagster.posthog._endpoints import hog_functions as endpoints
from hog_dagster.posthog._services.base import Service
from hog_dagster.posthog._services.fields import given
from hog_dagster.posthog._services.hog_function_inputs import checked_inputs

_CONFIGURATION = (
    *("type", "name", "enabled", "hog", "inputs_schema", "filters", "mappings"),
    *("masking", "template_id"),
)
_UNMOCKED = ("native-", "segment-")


class HogFunctionRuns(Service):
    """What makes a hog function run."""

    def test_invocation(
        self,
        id: str,
        *,
        globals: Mapping[str, Any] | None = None,
        clickhouse_event: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
        mock_async_functions: bool = True,
        invocation_id: str | None = None,
        use_draft: bool = False,
    ) -> models.HogFunctionInvocation:
        """Run a function once as a test: POST .../hog_functions/{id}/invocations/. Sent once.

        Scope hog_function:write; docs-era servers refuse scoped keys. Calls to the outside
        (``fetch``) are mocked unless asked otherwise. **Mocking covers Hog code only: functions
        made from a ``native-...`` or ``segment-...`` template run for real all the same**, so a
        mocked test of one is refused here. The response is a success even when the function failed:
        see ``status``, ``errors`` and ``logs``.

        Args:
            id: the function, or ``new`` with a ``configuration``. PostHog takes an id it does not
                know as new.
            globals: must hold ``event``; may hold person, groups, project, inputs.
            clickhouse_event: an event as stored, instead of ``globals``.
            configuration: a whole function to test; default the stored one, read first.
            mock_async_functions: False lets the function really call out.
            invocation_id: a UUID to find its logs by.
            use_draft: test the draft (newer servers).

        Raises:
            ValueError: there is no event, or the function cannot be mocked.
            InvalidRequest: PostHog refuses the configuration or the event.
            NotOpenToKeys: an older server.
            OutcomeUnknown: no response came: it may have run.
        """
        if clickhouse_event is None and "event" not in (globals or {}):
            raise ValueError("test_invocation: give globals with an event, or a clickhouse_event")
        if use_draft and configuration is not None:
            raise ValueError("test_invocation: give a configuration or use_draft, not both")
        template_id = (configuration or {}).get("template_id")
        if configuration is None:
            stored = self._one(models.HogFunction, endpoints.GET, {"id": id})
            template_id = stored.template_id
            if not use_draft:
                configuration = _configuration(stored)
        if mock_async_functions and str(template_id or "").startswith(_UNMOCKED):
            raise ValueError(
                f"test_invocation: a function of template {template_id} cannot be mocked: PostHog "
                "runs it for real. Pass mock_async_functions=False if that is wanted."
            )
        body = given(
            configuration=None if configuration is None else dict(configuration),
            use_draft=use_draft or None,
            globals=None if globals is None else dict(globals),
            clickhouse_event=None if clickhouse_event is None else dict(clickhouse_event),
            mock_async_functions=mock_async_functions,
            invocation_id=invocation_id,
        )
        return self._one(
            models.HogFunctionInvocation, endpoints.TEST_INVOCATION, {"id": id}, body=body
        )

    def broadcast(self, id: str, *, run_for_everyone: bool = False) -> models.BroadcastResponse:
        """Run a function for real, once per person: POST .../hog_functions/{id}/broadcast/.

        Every person that matches the function's property filters, nobody left out, nobody asked
        twice whether they had it already. Sent once, answered when all runs are done, whatever
        came of them. Only docs-era servers have it, and only for keys without scopes.

        Args:
            id: the function; it must be enabled.
            run_for_everyone: must be True, so that nobody sends by accident.

        Raises:
            ValueError: ``run_for_everyone`` is not True; nothing was sent.
            EndpointMissing: a newer server: use a batch workflow.
            NotOpenToKeys: a docs-era server, and a key with scopes.
            OutcomeUnknown, ServerError: it may have run for some people or for all.
        """
        if run_for_everyone is not True:
            raise ValueError(
                f"broadcast: function {id} would run for real, once for every person that matches "
                "its filters. Pass run_for_everyone=True if that is wanted."
            )
        return self._one(models.BroadcastResponse, endpoints.BROADCAST, {"id": id})


def _configuration(stored: models.HogFunction) -> dict[str, Any]:
    """A stored function as a test wants it: what can be written, without inputs never set."""
    inputs = {name: value for name, value in (stored.inputs or {}).items() if value}
    fields = {name: getattr(stored, name) for name in _CONFIGURATION}
    return given(**fields, inputs=checked_inputs(inputs))
