"""The endpoints of groups and group types, of every server generation.

Facts: PostHog's groups viewsets of 2025-08 and mid 2026, and a running server's responses.
"""

from __future__ import annotations

from hog_dagster.posthog._endpoints import Endpoint, register

BASE = "/api/projects/{project_id}/groups/"
TYPES_BASE = "/api/projects/{project_id}/groups_types/"

READ = ("group:read",)
WRITE = ("group:write",)
_CAPTURE = "stored first, its event captured after: an error may come although it is stored"

TYPES = Endpoint("groups.types", "GET", TYPES_BASE, READ, notes="bare array")
DELETE_TYPE = Endpoint(
    "groups.delete_type", "DELETE", TYPES_BASE + "{group_type_index}/", WRITE, "act"
)
LIST = Endpoint(
    "groups.list",
    "GET",
    BASE,
    READ,
    notes="cursor, 100 a page, no count; newer servers start again at the first page when they do "
    "not know the cursor, and lag behind writes",
)
CREATE = Endpoint("groups.create", "POST", BASE, WRITE, "act", notes=_CAPTURE)
FIND = Endpoint(
    "groups.find",
    "GET",
    BASE + "find/",
    READ,
    notes="makes a notebook on the first call unless skip_create_notebook is sent",
)
UPDATE_PROPERTY = Endpoint(
    "groups.update_property",
    "POST",
    BASE + "update_property/",
    WRITE,
    "act",
    notes=f"{_CAPTURE}; the server reads, changes and writes all properties without a lock",
)
DELETE_PROPERTY = Endpoint(
    "groups.delete_property",
    "POST",
    BASE + "delete_property/",
    WRITE,
    "act",
    notes=f"{_CAPTURE}; a property that is absent is an error (500 on older servers)",
)
UPSERT_PROPERTIES = Endpoint(
    "groups.upsert_properties",
    "POST",
    BASE + "upsert_properties/",
    WRITE,
    "act",
    "2025-08-29 to 2025-09-10",
    instead="Use upsert_properties(..., one_by_one=True), which updates property by property, or "
    "send $groupidentify events through PostHog's ingestion endpoint.",
)
ACTIVITY = Endpoint(
    "groups.activity",
    "GET",
    BASE + "activity/",
    ("activity_log:read",),
    notes="page-numbered; by group_key, the id of the public docs changes nothing",
)
PROPERTY_DEFINITIONS = Endpoint(
    "groups.property_definitions",
    "GET",
    BASE + "property_definitions/",
    READ,
    servers="2025; removed since",
    instead="Newer servers list them under /property_definitions/?type=group; property_values "
    "shows the values of one property.",
)
PROPERTY_VALUES = Endpoint(
    "groups.property_values",
    "GET",
    BASE + "property_values/",
    READ,
    notes="the 20 most frequent values; an array on older servers, an object on newer ones",
)
RELATED = Endpoint(
    "groups.related",
    "GET",
    BASE + "related/",
    READ,
    notes="people and groups with events in common in the last 90 days; bare array, not paged",
)

register(
    TYPES,
    DELETE_TYPE,
    LIST,
    CREATE,
    FIND,
    UPDATE_PROPERTY,
    DELETE_PROPERTY,
    UPSERT_PROPERTIES,
    ACTIVITY,
    PROPERTY_DEFINITIONS,
    PROPERTY_VALUES,
    RELATED,
)
