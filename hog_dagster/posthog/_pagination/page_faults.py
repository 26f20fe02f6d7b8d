"""Is it this page, or all of PostHog? What a read that failed to the end says about the rest.

Facts: PostHog answers 500 for ever to pages that hold a row it cannot write out, in the words it
has for an outage. So a request of the same endpoint that was answered before is sent once more: an
answer now says that the failed one is at fault, and a failure that everything is.
"""

from __future__ import annotations

from hog_dagster.posthog import errors

__all__ = ["ALIKE", "AnsweredReads", "blamed"]

#: Attempts that failed alike until a page is taken for one that fails for ever.
ALIKE = 3


class AnsweredReads:
    """The last two addresses of each endpoint that were answered. Safe to use from threads."""

    def __init__(self) -> None:
        self._urls: dict[str, tuple[str, ...]] = {}

    def note(self, endpoint: str, url: str) -> None:
        """This address was answered just now."""
        known = self._urls.get(endpoint, ())
        if url not in known[:1]:
            self._urls[endpoint] = (url, *known)[:2]

    def other(self, endpoint: str, url: str) -> str | None:
        """An address of the endpoint that was answered, other than this one."""
        return next((known for known in self._urls.get(endpoint, ()) if known != url), None)


def blamed(
    error: errors.PostHogError, failures: list[tuple[int, str]], *, responses: bool
) -> errors.PostHogError:
    """The error of a read that failed to the end, with whom it blames.

    Args:
        error: the last one.
        failures: status and words of each attempt; the status is 0 where no whole response came.
        answers: whether the endpoint answers another request now.
    """
    error.elsewhere = "answers" if responses else "fails"
    if responses and len(failures) >= ALIKE and len(set(failures)) == 1:
        error.permanent = True
        told = str(error).removesuffix("Try again later.").rstrip()
        told += (
            f" It failed {len(failures)} times alike while PostHog answered another request of its "
            "kind, so trying again will not help: PostHog cannot serve this one."
        )
        error.args = (told,)
    return error
