"""What PostHog lists of opt-outs and suppressions, and what that shows of pushes in doubt.

Facts: the lists are rows of PostHog's own database: a change shows at once. So an action happened
when the list is as it wanted it, and has no effect any more when the list is not, after the grace
time; whatever of it is still missing is planned anew. The ledger keeps fingerprints of the
addresses, not the addresses.
"""

from collections.abc import Iterable, Mapping, Sequence

from hog_dagster.actions._claims import Finding, FindingOf, waiting
from hog_dagster.actions._list_plan import ALL, ListedPair, Pair, PushedList, fingerprint
from hog_dagster.actions._protocol import Actor, Source
from hog_dagster.actions._summary import Outcome
from hog_dagster.ledger import Entry
from hog_dagster.posthog import PostHogClient, errors
from hog_dagster.posthog.models import MessageCategory, OptOut

#: Kinds of actions -> whether they add.
LIST_KINDS: Mapping[str, bool] = {
    "opt_out_add": True,
    "opt_out_remove": False,
    "suppression_add": True,
    "suppression_remove": False,
}
OPTED_OUT = "OPTED_OUT"
_NAMES = {"opt_outs": "opt-outs", "suppressions": "suppressions"}


def list_source(into: PushedList) -> Source:
    """The list, as the target of an action."""
    return Source(into, "list", _NAMES[into])


def read_list(
    client: PostHogClient,
    into: PushedList,
    keys: Iterable[str] = (),
    categories: Sequence[MessageCategory] | None = None,
) -> dict[Pair, ListedPair]:
    """What PostHog lists: all suppressions, or opt-outs of all and of these categories.

    Requests: one per 100 suppressions; one per 50,000 recipients for opt-outs by HogQL, one per 100
    opt-outs without; one more where categories are to be read.

    Args:
        client: the project.
        into: which list.
        keys: of categories; those that PostHog has not are passed over.
        categories: where they were read before.

    Raises:
        PermissionDenied, EndpointMissing: this key or server does not show it.
    """
    if into == "suppressions":
        return {
            (row.identifier, ALL): ListedPair(row.updated_at, row.source == "MANUAL")
            for row in client.messaging.suppressions()
        }
    wanted = {*keys} - {ALL}
    if wanted and categories is None:
        categories = client.messaging.categories()
    shown = {one.id: one.key for one in categories or () if one.key in wanted}
    shown[ALL] = ALL
    try:
        rows = list(client.messaging.preferences())
    except (errors.PermissionDenied, errors.EndpointMissing):
        rows = _by_rest(client, {*shown.values()} - {ALL})
    return {
        (row.identifier, key): ListedPair(row.updated_at)
        for row in rows
        for ident, key in shown.items()
        if row.preferences.get(ident) == OPTED_OUT
    }


def _by_rest(client: PostHogClient, keys: Iterable[str]) -> list[OptOut]:
    rows = list(client.messaging.opt_outs())
    for key in sorted(keys):
        rows += client.messaging.opt_outs(category_key=key)
    return rows


def list_evidence(actor: Actor, source: Source, entries: Sequence[Entry]) -> FindingOf:
    """What PostHog's list shows of actions in doubt.

    Raises:
        PostHogError: the list could not be read.
    """
    into: PushedList = "suppressions" if source.id == "suppressions" else "opt_outs"
    keys = {key for entry in entries for key in entry.request.get("categories") or ()}
    read_at = actor.earliest()
    listed = {fingerprint(actor.project_id, p) for p in read_list(actor.client, into, keys)}

    def finding(entry: Entry) -> Finding:
        prints = set(entry.request.get("pairs") or ())
        there = len(prints & listed)
        adds = LIST_KINDS[entry.kind]
        seen = f"PostHog lists {there} of its {len(prints)} {source.name}"
        if prints and there == (len(prints) if adds else 0):
            return Finding(Outcome.CONFIRMED, seen)
        if actor.grace_over(entry, at=read_at):
            return Finding(Outcome.NOT_SENT, f"{seen}; the next push sends what is missing")
        return waiting(actor, entry, seen)

    return finding
