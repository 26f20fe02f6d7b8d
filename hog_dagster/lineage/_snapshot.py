"""Reads a project's snapshot when definitions are loaded, once per code location, and survives.

Facts: every step process loads the definitions again; Dagster hands it what the code location kept
as reconstruction metadata, so that only the first load asks. That context is not among Dagster's
public names (1.13); this module and the component use it. A code location that cannot be loaded
because PostHog does not answer takes everything else in it down.
"""

import base64
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import msgspec

from hog_dagster._dagster.internals import DefinitionsLoadContext, DefinitionsLoadType
from hog_dagster.lineage._records import Snapshot, SnapshotUnreadable, fingerprint, read_snapshot
from hog_dagster.policies import HogFunctionSelection, InsightSelection, WorkflowSelection
from hog_dagster.posthog import PostHogClient
from hog_dagster.posthog.errors import PostHogError
from hog_dagster.resources import PostHogResource, missing_settings_text

_log = logging.getLogger("hog_dagster")
_ALL_INSIGHTS = (InsightSelection(),)
#: How long a call waits for the quota, and for a response: definitions have to load soon.
_MAX_WAIT, _READ_TIMEOUT = 15.0, 20.0

#: Where a snapshot can come from.
SnapshotSource = Snapshot | PostHogResource | PostHogClient | Path


def load_posthog_snapshot(
    source: SnapshotSource,
    *,
    keep: Path | None = None,
    workflows: WorkflowSelection | None = None,
    hog_functions: HogFunctionSelection | None = None,
    insights: Sequence[InsightSelection] | None = _ALL_INSIGHTS,
) -> Snapshot:
    """The project's workflows, hog functions and insights, for `build_posthog_definitions` and
    `load_posthog_asset_specs`.

    PostHog is asked when the code location is loaded, not again in the processes of its runs: one
    request per 500 workflows, per 50 hog functions and per 500 insights. When it cannot be asked,
    a warning says why, and what was kept the last time is taken, or nothing.

    Args:
        source: the project's resource, whose `EnvVar`s are read here; or an open client; or a file
            that `Snapshot.write` wrote; a snapshot is given back as it is.
        keep: a file that what was read is kept in, for when PostHog cannot be asked.
        workflows: which workflows; all by default.
        hog_functions: which hog functions; all by default.
        insights: which saved insights; None reads none.

    Returns:
        The snapshot; without objects where nothing is known, its notes saying why.

    Example:
        .. code-block:: python

            posthog = PostHogResource(
                api_key=dg.EnvVar("POSTHOG_API_KEY"), project_id=dg.EnvVar("POSTHOG_PROJECT_ID")
            )
            snapshot = load_posthog_snapshot(posthog, keep=Path("posthog.json"))
    """
    if isinstance(source, Snapshot):
        return source
    if isinstance(source, Path):
        kept, unreadable = read_kept(source)
        return kept or _nothing(unreadable or f"There is no snapshot in {source} yet.")
    which = [_shown(source.host), _shown(source.project_id)]
    chosen = fingerprint([repr(workflows), repr(hog_functions), repr(insights)])
    key = "/".join(["hog_dagster/snapshot", *which, chosen])
    context = DefinitionsLoadContext.get()
    if context.load_type is DefinitionsLoadType.RECONSTRUCTION:
        kept = context.reconstruction_metadata.get(key)
        if kept is not None:
            return _unpacked(kept)
    try:
        with _opened(source) as client:
            snapshot = read_snapshot(
                client.with_limits(_MAX_WAIT, read_timeout=_READ_TIMEOUT),
                workflows=workflows,
                hog_functions=hog_functions,
                insights=insights,
            )
        for note in snapshot.notes:
            _log.warning(note)
        if keep is not None:
            _keep(snapshot, keep)
    except (PostHogError, dg.Failure, dg.DagsterInvalidConfigError, ValueError) as error:
        snapshot = _instead(error, keep)
    context.add_to_pending_reconstruction_metadata(key, _packed(snapshot))
    return snapshot


def read_kept(path: Path | None) -> tuple[Snapshot | None, str]:
    """The snapshot in a file, None without one; and, if the file is no snapshot, a sentence why."""
    try:
        return (Snapshot.read(path) if path is not None else None), ""
    except SnapshotUnreadable as error:
        return None, str(error)


def _packed(snapshot: Snapshot) -> str:
    """As text, a tenth of its JSON: Dagster keeps it with the plan of every run."""
    return base64.b85encode(zlib.compress(msgspec.json.encode(snapshot))).decode()


def _unpacked(text: str) -> Snapshot:
    return msgspec.json.decode(zlib.decompress(base64.b85decode(text)), type=Snapshot)


def _keep(snapshot: Snapshot, path: Path) -> None:
    try:
        snapshot.write(path)
    except OSError as error:
        _log.warning("What was read of PostHog could not be kept in %s: %s", path, error)


def _shown(setting: str | int) -> str:
    """A setting's value, or the variable it comes from."""
    return setting.env_var_name if isinstance(setting, dg.EnvVar) else str(setting)


@contextmanager
def _opened(source: PostHogResource | PostHogClient) -> Iterator[PostHogClient]:
    if isinstance(source, PostHogClient):
        yield source
        return
    given = (source.host, source.api_key, source.project_id)
    variables = [one.env_var_name for one in given if isinstance(one, dg.EnvVar)]
    if missing := [name for name in variables if not os.environ.get(name, "").strip()]:
        raise ValueError(missing_settings_text(missing))
    with source.process_config_and_initialize_cm() as resource:
        yield resource.client


def _instead(error: Exception, keep: Path | None) -> Snapshot:
    why = error.description if isinstance(error, dg.Failure) else str(error)
    why = f"PostHog's objects could not be read: {' '.join(str(why).split())}"
    kept, unreadable = read_kept(keep)
    why = f"{why} {unreadable}".rstrip()
    if kept is not None:
        _log.warning("%s Taken as they were at %s.", why, f"{kept.taken_at:%Y-%m-%d %H:%M} UTC")
        return kept
    return _nothing(f"{why} They are not in the lineage until the code location is loaded again.")


def _nothing(why: str) -> Snapshot:
    _log.warning(why)
    return Snapshot(host="", project_id=0, taken_at=datetime.now(UTC), notes=(why,))
