"""What a bulk replay leaves behind: doubts about each of its runs, and markers that may be late.

Facts: the bulk endpoint replays what is on the blocked list at that moment, which may be more than
was seen a moment before; the list goes on showing a run until its marker arrives.
"""

from collections.abc import Sequence

from hog_dagster.actions._evidence import read_markers, replay_finding, settle_by
from hog_dagster.actions._protocol import Acting
from hog_dagster.ledger import Entry, State

__all__ = ["bulk_is_recent", "close_old_bulks", "settle_without_list"]


def close_old_bulks(acting: Acting, workflow_id: str) -> None:
    """A bulk replay in doubt is a doubt about each of its runs, which have acts of their own."""
    doubtful = acting.ledger.entries(
        project_id=acting.project_id,
        kind="replay_all",
        target_id=workflow_id,
        state=[State.SENT, State.IN_DOUBT],
    )
    for entry in list(doubtful):
        if acting.grace_over(entry):
            acting.ledger.confirm(entry, note="over: each of its runs is read back alone")


def settle_without_list(acting: Acting, workflow_id: str, instance_ids: Sequence[str]) -> None:
    """Read back replays in doubt on a server that lists blocked runs no more: by their markers."""
    close_old_bulks(acting, workflow_id)
    doubtful = [
        entry
        for entry in acting.ledger.get_all(
            [acting.act("replay", workflow_id, name) for name in instance_ids]
        )
        if entry.open
    ]
    if not doubtful:
        return
    since = min(e.server_sent_at or e.sent_at or e.created_at for e in doubtful)
    markers = read_markers(acting, workflow_id, since)
    for entry in doubtful:
        if entry.state is State.IN_DOUBT or acting.grace_over(entry):
            settle_by(acting, entry, replay_finding(acting, entry, markers=markers, listed=None))


def bulk_is_recent(acting: Acting, workflow_id: str) -> Entry | None:
    """The last bulk replay of the workflow whose markers may still be late, if there is one: until
    then a run that is on the list and not in the ledger may have been replayed by it.
    """
    for entry in acting.ledger.entries(
        project_id=acting.project_id,
        kind="replay_all",
        target_id=workflow_id,
        state=[State.SENT, State.IN_DOUBT, State.CONFIRMED],
    ):
        if not acting.grace_over(entry):
            return entry
    return None
