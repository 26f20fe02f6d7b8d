"""Takes secrets and personal data out of texts.

All expressions for these stand here: definitions, log messages, error texts and previews use them.
They are written for Python's `re` and for RE2 alike, which Arrow uses over whole columns: no
look-around, one group at most. The time that each takes grows with the length of the text alone.

Facts: PostHog's prefixes (phx_ personal key, phc_ project token, phs_ project secret key, pha_ and
phr_ OAuth), those of Slack, Stripe, GitHub, Google, SendGrid and AWS; bracket tokens in log
messages such as ``[Person:<uuid>|<display name>]``, whose display name is often an e-mail address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: What replaces a secret.
REDACTED = "[redacted]"

#: Names of fields and inputs that hold a secret.
SECRET_NAME = re.compile(
    r"auth|secret|token|passw|api[_-]?key|apikey|credential|cookie|private|signature|bearer|webhook",
    re.IGNORECASE,
)
#: Names of columns that identify a person, or hold a person's data; groups are customers.
PERSONAL_COLUMN = re.compile(
    r"(^|_)(distinct_id|email|e_mail|mail|first_name|last_name|full_name|person|person_id|phone|ip"
    r"|address|birth|user|username|group_key|properties)(_|$)",
    re.IGNORECASE,
)
#: What replaces a person's data.
HIDDEN = "***"
#: Names of secrets in running text, where fewer words are names.
_NAME = (
    r"(?i:(?:secret|token|passw|pwd|api[_-]?key|credential|signature|authorization"
    r"|(?:access|private|account|client)[_-]?key)[\w.-]{0,40})"
)
_BEFORE_PATH = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
#: Parameters of URLs whose values are not shown unless they are one of these.
_SHOWN_PARAMETERS = frozenset(
    "after before date_from date_to interval kind level limit offset refresh status".split()  # noqa: SIM905
)
#: The maximum number of characters that are shown of a header.
_LONGEST_HEADER = 200


@dataclass(frozen=True, slots=True)
class Mask:
    """One kind of secret or personal data that is taken out.

    Attributes:
        needles: the pattern can match only a text that contains one of these; the search for them
            takes a hundredth of the pattern's time.
        pattern: what is taken out; its group, if any, stays.
        replacement: what replaces it.
    """

    needles: tuple[bytes, ...]
    pattern: str
    replacement: str

    def over(self, text: str) -> str:
        """The text without what the pattern matches."""
        return re.sub(self.pattern, self.replacement, text)


_SECRETS = (
    # user:password@ of URLs, a bare @ in the password included.
    Mask((b"://",), r"""(://)[^/\s"'<>\\?#]*@""", rf"\1{REDACTED}@"),
    Mask(
        (b"uthorization", b"UTHORIZATION", b"-key", b"-Key", b"-KEY"),
        r"""((?i:authorization|x-api-key|api-key)\\{0,3}["']?\s{0,3}:\s{0,3}\\{0,3}["']?"""
        r"""(?i:(?:bearer|basic|token|digest)\s+)?)[^\s"',;\\]+""",
        rf"\1{REDACTED}",
    ),
    Mask(
        (b"ookie", b"OOKIE"),
        r"""((?i:cookie)\\{0,3}["']?\s{0,3}[:=]\s{0,3}\\{0,3}["']?)[^"'\r\n]+""",
        rf"\1{REDACTED}",
    ),
    # password=..., ?access_token=..., and the short names that URLs have.
    Mask(
        (b"=",),
        rf"""((?:{_NAME}|[?&#;](?:key|sig|auth))\s?=\s?)(?:'[^']*'|"[^"]*"|[^\s"'&<>]+)""",
        rf"\1{REDACTED}",
    ),
    # "api_key": "...", as JSON and as Python write it, escaped or not.
    Mask(
        (b'"', b"'"),
        rf"""({_NAME}\\{{0,3}}["']\s{{0,3}}:\s{{0,3}}\\{{0,3}}["'])[^"'\\]+""",
        rf"\1{REDACTED}",
    ),
    Mask(
        (
            *(b"phx_", b"phc_", b"pha_", b"phs_", b"phr_", b"sk_", b"sk-", b"pk_", b"pk-"),
            *(b"xox", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_", b"AKIA"),
            *(b"AIza", b"SG.", b"whsec_", b"eyJ", b"hooks.", b"/api/webhooks/", b"PRIVATE KEY"),
            *(b"earer", b"EARER", b"asic", b"ASIC"),
        ),
        r"\b(?:(?:ph[acrsx]|sk|pk|xox[a-z]|gh[pousr]|github_pat|whsec)[_-][A-Za-z0-9_-]{8,}"
        r"|AKIA[A-Z0-9]{12,}"
        r"|AIza[A-Za-z0-9_-]{20,}"
        r"|SG\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
        r"|eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,2}"
        r"""|hooks\.(?:slack|zapier)\.com/[^\s"'\\]+"""
        r"""|discord(?:app)?\.com/api/webhooks/[^\s"'\\]+"""
        r"|PRIVATE KEY-----[A-Za-z0-9+/=\s\\-]+"
        r"|(?i:bearer)\s+[A-Za-z0-9._~+/=-]{4,}"
        # The base64 of a name and a password, which no English word looks like.
        r"|(?i:basic)\s+[A-Za-z0-9+/]*[a-z0-9][A-Z][A-Za-z0-9+/]*={0,2})",
        REDACTED,
    ),
)
_PERSONAL = (
    # To the end of a text that was cut before the bracket; a distinct id has 400 letters at most.
    Mask((b"|",), r"(\[(?:Person|Actor|Group):[^\]|]{0,400}\|)[^\]]*\]?", r"\1***]"),
    Mask((b"[Actor:",), r"\[Actor:[^\]]*\]?", "[Actor:***]"),
    Mask((b"@",), r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}", "***@***"),
)
#: All that is taken out of log messages, error texts and previews, in this order.
MASKS = (*_SECRETS, *_PERSONAL)

# An address has a first part of 64 characters at most, and an unbounded one costs the square of the
# length of a text without any.
_ADDRESS = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")


def without_secrets(text: str) -> str:
    """A text without keys, tokens, and credentials in URLs, headers and assignments."""
    for mask in _SECRETS:
        text = mask.over(text)
    return text


def mask_text(text: str) -> str:
    """A text without secrets, e-mail addresses, display names and distinct ids."""
    text = without_secrets(text)
    for mask in _PERSONAL[:-1]:
        text = mask.over(text)
    return _ADDRESS.sub("***@***", text) if "@" in text else text


def shown_header(value: str) -> str:
    """The value of a header as a log or an error may show it: no secret, and not long."""
    value = " ".join(without_secrets(value).split())
    return value if len(value) <= _LONGEST_HEADER else value[:_LONGEST_HEADER] + "..."


def without_arguments(url: str) -> str:
    """A URL without credentials and without the values of its parameters, which can be a row's:
    times, numbers and the like stay."""
    place, _, query = url.partition("#")[0].partition("?")
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    shown = "&".join(
        f"{name}={value if name in _SHOWN_PARAMETERS else HIDDEN}" for name, _, value in pairs
    )
    return without_secrets(f"{place}?{shown}" if shown else place)


def path_of(url: str) -> str:
    """The path of a URL, without secrets."""
    return without_secrets(_BEFORE_PATH.sub("", url).partition("?")[0].partition("#")[0])
