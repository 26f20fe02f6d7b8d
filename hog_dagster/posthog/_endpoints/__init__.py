"""What an endpoint of PostHog is, and the register of all that this client calls.

Every call of the client goes through one of these; the documentation's table and its test read
the register, so neither can drift from the code. Facts: PostHog's viewsets and their recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack
from urllib.parse import quote

__all__ = ["ENDPOINTS", "Bucket", "Effect", "Endpoint", "EndpointGroup"]

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]

#: Which rate limit an endpoint is charged to.
Bucket = Literal["default", "insights", "query"]

#: ``read``: changes nothing. ``absolute``: sets values, so repeating it changes nothing more.
#: ``act``: does something each time; it is sent once and never repeated by the client.
Effect = Literal["read", "absolute", "act"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: method and path, what it needs, what it does, which servers have it.

    Attributes:
        name: service and method, such as ``workflows.logs``.
        method: HTTP method.
        path: path template; ``{project_id}`` and the arguments of ``url`` are filled in.
        scopes: scopes a personal API key needs on servers that open the action to keys.
        effect: what repeating the request would do.
        servers: which server generations have it, in words.
        bucket: the rate limit it is charged to.
        instead: what to use on a server without it: the end of EndpointMissing's message.
        closed: what to use on a server that refuses it to keys: the end of NotOpenToKeys's message;
            empty where a newer server opens it.
        only_reads: a POST that changes nothing at all, so that it may be sent again like a GET.
        notes: traps worth a line in the table of endpoints.
    """

    name: str
    method: Method
    path: str
    scopes: tuple[str, ...] = ()
    effect: Effect = "read"
    servers: str = "all"
    bucket: Bucket = "default"
    instead: str = ""
    notes: str = ""
    closed: str = ""
    only_reads: bool = False

    def url(self, project_id: int, arguments: Mapping[str, object]) -> str:
        """The path with its placeholders filled in, each one percent-encoded."""
        safe = {name: quote(str(value), safe="") for name, value in arguments.items()}
        return self.path.format(project_id=project_id, **safe)

    @property
    def retryable(self) -> bool:
        """Whether the client may send the request again by itself."""
        absolute = self.method == "PATCH" and self.effect == "absolute"
        return self.method == "GET" or absolute or self.only_reads


#: Every endpoint this client calls, by name.
ENDPOINTS: dict[str, Endpoint] = {}


class More(TypedDict, total=False):
    """Fields of an endpoint that differ from its group's."""

    scopes: tuple[str, ...]
    effect: Effect
    servers: str
    bucket: Bucket
    instead: str
    notes: str
    closed: str
    only_reads: bool


@dataclass(frozen=True, slots=True)
class EndpointGroup:
    """Makes and registers the endpoints of a service that have these fields in common."""

    service: str
    base: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    servers: str = "all"
    bucket: Bucket = "default"
    instead: str = ""
    closed: str = ""

    def reads(self, name: str, path: str = "", **more: Unpack[More]) -> Endpoint:
        """A GET of a path below the group's."""
        return self.sends(name, path, "GET", **{"scopes": self.read, "effect": "read", **more})

    def sets(
        self, name: str, path: str = "", method: Method = "PATCH", **more: Unpack[More]
    ) -> Endpoint:
        """A write of absolute values."""
        return self.sends(name, path, method, **{"effect": "absolute", **more})

    def sends(
        self, name: str, path: str = "", method: Method = "POST", **more: Unpack[More]
    ) -> Endpoint:
        """A write that does something each time, unless ``effect`` says otherwise."""
        own: More = {
            "scopes": self.write,
            "effect": "act",
            "servers": self.servers,
            "bucket": self.bucket,
            "instead": self.instead,
            "closed": self.closed,
        }
        endpoint = Endpoint(f"{self.service}.{name}", method, self.base + path, **{**own, **more})
        if endpoint.name in ENDPOINTS:
            raise ValueError(f"endpoint {endpoint.name} is registered twice")
        ENDPOINTS[endpoint.name] = endpoint
        return endpoint
