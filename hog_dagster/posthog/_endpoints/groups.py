"""The endpoints of groups and group types, of every server generation.

Facts: PostHog's groups viewsets of 2025-08 and mid 2026, and a running server's responses.
"""

from __future__ import annotations

from dataclasses import replace

from hog_dagster.posthog._endpoints import EndpointGroup

_groups = EndpointGroup(
    "groups", "/api/projects/{project_id}/groups/", ("group:read",), ("group:write",)
)
_types = replace(_groups, base="/api/projects/{project_id}/groups_types/")
_CAPTURE = "stored first, its event captured after: an error may come although it is stored"

TYPES = _types.reads("types", notes="bare array")
DELETE_TYPE = _types.sends("delete_type", "{group_type_index}/", "DELETE")
LIST = _groups.reads(
    "list",
    notes="cursor, 100 a page, no count; newer servers start again at the first page when they do "
    "not know the cursor, and lag behind writes",
)
CREATE = _groups.sends("create", notes=_CAPTURE)
FIND = _groups.reads(
    "find",
    "find/",
    notes="makes a notebook on the first call unless skip_create_notebook is sent",
)
UPDATE_PROPERTY = _groups.sends(
    "update_property",
    "update_property/",
    notes=f"{_CAPTURE}; the server reads, changes and writes all properties without a lock",
)
DELETE_PROPERTY = _groups.sends(
    "delete_property",
    "delete_property/",
    notes=f"{_CAPTURE}; a property that is absent is an error (500 on older servers)",
)
UPSERT_PROPERTIES = _groups.sends(
    "upsert_properties",
    "upsert_properties/",
    servers="2025-08-29 to 2025-09-10",
    instead="Use upsert_properties(..., one_by_one=True), which updates property by property, or "
    "send $groupidentify events through PostHog's ingestion endpoint.",
)
ACTIVITY = _groups.reads(
    "activity",
    "activity/",
    scopes=("activity_log:read",),
    notes="page-numbered; by group_key, the id of the public docs changes nothing",
)
PROPERTY_DEFINITIONS = _groups.reads(
    "property_definitions",
    "property_definitions/",
    servers="2025; removed since",
    instead="Newer servers list them under /property_definitions/?type=group; property_values "
    "shows the values of one property.",
)
PROPERTY_VALUES = _groups.reads(
    "property_values",
    "property_values/",
    notes="the 20 most frequent values; an array on older servers, an object on newer ones",
)
RELATED = _groups.reads(
    "related",
    "related/",
    notes="people and groups with events in common in the last 90 days; bare array, not paged",
)
