"""Models of groups, group types, their properties and their history.

Facts: PostHog's groups serializers of both generations, and a running server's responses.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from hog_dagster.posthog.models.base import Instant, LenientDict, Model

__all__ = ["Group", "GroupActivity", "GroupProperty", "GroupType", "RelatedActor"]


class GroupType(Model):
    """A kind of group, such as organisation: GET .../groups_types/. A project has five at most."""

    group_type: str
    group_type_index: int
    name_singular: str | None = None
    name_plural: str | None = None
    detail_dashboard: Any = None
    default_columns: Any = None
    created_at: Instant | None = None


class Group(Model):
    """A group and its properties: GET .../groups/ and .../groups/find/.

    Attributes:
        notebook: short id of its notebook, of ``find`` only.
        event_captured: False when PostHog stored a change and then failed to capture its event:
            people and queries that read events do not see the change until the next one.
    """

    group_type_index: int
    group_key: str
    group_properties: LenientDict = Field(default_factory=dict)
    created_at: Instant | None = None
    notebook: Any = None
    event_captured: bool = Field(default=True, exclude=True)


class GroupProperty(Model):
    """A property or a value and how many groups have it: property_definitions, property_values."""

    name: Any = None
    count: int | None = None


class GroupActivity(Model):
    """One change of a group: GET .../groups/activity/."""

    id: str | int | None = None
    user: Any = None
    activity: str | None = None
    scope: str | None = None
    item_id: str | int | None = None
    detail: Any = None
    created_at: Instant | None = None


class RelatedActor(Model):
    """A person or a group that shares events with a group: GET .../groups/related/."""

    type: str | None = None
    id: str | int | None = None
    uuid: str | None = None
    name: str | None = None
    group_type_index: int | None = None
    group_key: str | None = None
    properties: LenientDict = Field(default_factory=dict)
    distinct_ids: list[str] | None = None
    created_at: Instant | None = None
