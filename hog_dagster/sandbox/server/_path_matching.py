"""Which endpoints a path has: fixed segments before parameters, a slash at the end or not."""

from collections.abc import Sequence

from hog_dagster.sandbox.api import Endpoint, EndpointGroup
from hog_dagster.sandbox.server._endpoint_names import name_of

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


class Place:
    """All endpoints on one path."""

    def __init__(self, group: EndpointGroup, path: str) -> None:
        self.group = group
        self.name = name_of(path)
        self.endpoints: dict[str, Endpoint] = {}
        self._allow: str | None = None

    @property
    def allow(self) -> str:
        """The Allow header, in the order in which Django REST framework prints it."""
        if self._allow is None:
            head = {"HEAD"} if "GET" in self.endpoints else set[str]()
            offered = {*self.endpoints, "OPTIONS"} | head
            self._allow = ", ".join(method for method in _METHODS if method in offered)
        return self._allow


class _Node:
    """One segment of the paths that begin alike."""

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.parameter: tuple[str, _Node] | None = None
        self.place: Place | None = None


class Routes:
    """Path -> place and parameters."""

    def __init__(self, groups: Sequence[EndpointGroup]) -> None:
        self._root = _Node()
        for group in groups:
            for endpoint in group.endpoints:
                path = endpoint.path
                if not path.startswith("/"):
                    path = "/api/projects/{project_id}/" + path
                node = self._node(path.rstrip("/"))
                if node.place is None:
                    node.place = Place(group, path)
                node.place.endpoints[endpoint.method] = endpoint

    def match(self, path: str) -> tuple[Place | None, dict[str, str]]:
        """The place of a path, and the values of its parameters."""
        parts = path.rstrip("/").split("/")
        if parts[1:3] == ["api", "environments"]:
            parts[2] = "projects"
        return _find(self._root, parts, 1, {})

    def _node(self, path: str) -> _Node:
        node = self._root
        for part in path.split("/")[1:]:
            if not part.startswith("{"):
                node = node.fixed.setdefault(part, _Node())
                continue
            name = part[1:-1]
            if node.parameter is None:
                node.parameter = (name, _Node())
            if node.parameter[0] != name:
                raise ValueError(f"{path} names a parameter {name}, another {node.parameter[0]}")
            node = node.parameter[1]
        return node


def _find(
    node: _Node, parts: list[str], index: int, found: dict[str, str]
) -> tuple[Place | None, dict[str, str]]:
    if index == len(parts):
        return node.place, found
    part = parts[index]
    if part in node.fixed:
        place, args = _find(node.fixed[part], parts, index + 1, found)
        if place is not None:
            return place, args
    if node.parameter is not None and part:
        name, after = node.parameter
        return _find(after, parts, index + 1, {**found, name: part})
    return None, {}
