"""Models of hog functions, their templates, test runs, revisions and icons.

Facts: PostHog's hog_function serializers of 2025-08 (recorded) and of mid 2026 on.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hog_dagster.posthog.models.base import Instant, LenientList, Model, UserReference
from hog_dagster.posthog.models.workflows import Revision

__all__ = [
    "BackfillResponse",
    "BroadcastResponse",
    "HogFunction",
    "HogFunctionIcon",
    "HogFunctionIconImage",
    "HogFunctionInvocation",
    "HogFunctionPublish",
    "HogFunctionRevision",
    "HogFunctionStatus",
    "HogFunctionTemplate",
    "MaskedSecret",
]

_STATES = {
    0: "unknown",
    1: "healthy",
    2: "degraded",
    3: "disabled",
    4: "disabled",
    11: "forcefully_degraded",
    12: "forcefully_disabled",
}


class HogFunctionStatus(Model):
    """What PostHog's watcher makes of a function: ``status`` of a hog function.

    ``state`` 0 says nothing: a function that is switched off reads so, and one whose state could
    not be looked up. ``tokens`` is what is left of its budget; ``rating`` is older servers' only.
    """

    state: int = 0
    tokens: float | None = None
    rating: float | None = None

    @property
    def label(self) -> str:
        """``state`` in words: unknown, healthy, degraded, disabled, forcefully_degraded,
        forcefully_disabled, or ``state_<number>``."""
        return _STATES.get(self.state, f"state_{self.state}")


class HogFunctionTemplate(Model):
    """What functions are made from: GET .../hog_function_templates/, and a function's ``template``.

    ``code`` is its source; the oldest servers called that ``hog``. ``type`` and ``status`` (stable,
    beta, alpha, deprecated, hidden, ...) are open sets.
    """

    id: str
    name: str | None = None
    description: str | None = None
    type: str | None = None
    status: str | None = None
    code: str | None = None
    code_language: str | None = None
    hog: str | None = None
    inputs_schema: Any = None
    filters: Any = None
    masking: Any = None
    mapping_templates: Any = None
    category: Any = None
    free: bool | None = None
    icon_url: str | None = None


class HogFunction(Model):
    """A hog function: GET .../hog_functions/ (rows leave much out) and .../hog_functions/{id}/.

    ``type`` is destination, transformation, site_app, ... (an open set; None acts as destination).
    ``inputs``, ``inputs_schema``, ``mappings``, ``masking`` and ``bytecode`` are None in rows of
    the list. An input that was never set can be None; one that holds a secret reads as
    ``{"secret": True}``. ``version`` and ``draft`` are newer servers'.
    """

    id: str
    type: str | None = None
    name: str | None = None
    description: str | None = None
    enabled: bool | None = None
    created_at: Instant | None = None
    created_by: UserReference = None
    updated_at: Instant | None = None
    hog: str | None = None
    bytecode: Any = None
    transpiled: Any = None
    inputs_schema: list[dict[str, Any]] | None = None
    inputs: dict[str, Any] | None = None
    filters: dict[str, Any] | None = None
    mappings: list[Any] | None = None
    masking: dict[str, Any] | None = None
    icon_url: str | None = None
    template: HogFunctionTemplate | None = None
    status: HogFunctionStatus | None = None
    execution_order: int | None = None
    batch_export_id: str | None = None
    version: int | None = None
    draft: dict[str, Any] | None = None
    draft_updated_at: Instant | None = None
    search_match_type: str | None = None

    @property
    def template_id(self) -> str | None:
        """The template it was made from, if any: PostHog answers with the template only."""
        return self.template.id if self.template else None

    @property
    def secret_inputs(self) -> frozenset[str]:
        """Names of the inputs that hold a secret, set or not (of a whole function, not a row)."""
        schema = self.inputs_schema or []
        return frozenset(
            str(item["key"]) for item in schema if item.get("secret") and "key" in item
        )


class HogFunctionInvocation(Model):
    """What a test run did: POST .../hog_functions/{id}/invocations/, 200 on failure too.

    ``status`` is success, error or skipped (the filters did not match). ``result`` is the changed
    event of a transformation, None when it dropped the event, and None for all other types.
    """

    status: str | None = None
    result: Any = None
    errors: LenientList[Any] = Field(default_factory=list)
    logs: LenientList[Any] = Field(default_factory=list)


class BroadcastResponse(Model):
    """POST .../hog_functions/{id}/broadcast/: that it ran, not what came of each person's run."""

    success: bool = False


class HogFunctionPublish(Model):
    """POST .../hog_functions/{id}/publish/: a preview (``published`` False), or what is live now.

    ``confirm_token`` and ``changed_fields`` are the preview's; ``function`` is the other's.
    """

    published: bool = False
    draft_updated_at: Instant | None = None
    confirm_token: str | None = None
    changed_fields: list[str] | None = None
    function: HogFunction | None = None


class HogFunctionRevision(Revision):
    """A state that was live: GET .../hog_functions/{id}/revisions/ (``content`` with one only)."""

    content: dict[str, Any] | None = None


class MaskedSecret(Model):
    """A function that lost a secret: GET .../hog_functions/masked_secrets/.

    PostHog stored the mask in the secret's place; enter the inputs named here again.
    """

    id: str
    name: str | None = None
    type: str | None = None
    enabled: bool | None = None
    input_keys: LenientList[str] = Field(default_factory=list)
    draft_input_keys: LenientList[str] = Field(default_factory=list)


class BackfillResponse(Model):
    """POST .../hog_functions/{id}/enable_backfills/: the batch export made for it, paused."""

    batch_export_id: str


class HogFunctionIcon(Model):
    """An icon that was found: GET .../hog_functions/icons/."""

    id: str
    name: str | None = None
    url: str | None = None


class HogFunctionIconImage(Model):
    """An icon itself: GET .../hog_functions/icon/."""

    content: bytes = Field(repr=False)
    media_type: str | None = None
