"""The environment: every variable that hog_dagster reads, what it means, and what it may be.

`Everywhere` holds in every code location; `Settings` adds what the default one is made of. The
table of docs/settings.md is made of these fields. Facts: an empty variable is one that is not set;
pydantic's own errors repeat a value, which may be secret, and name fields instead of variables.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, TypedDict, TypeVar, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hog_dagster._shared.described import Described
from hog_dagster._shared.postgres_urls import is_postgres
from hog_dagster.policies import (
    Deliverability,
    MessagingPolicy,
    Record,
    day_that_came,
    size_of_memory,
    unknown_field,
)

__all__ = [
    "ConnectionSettings",
    "Everywhere",
    "Settings",
    "connection_settings",
    "read_settings",
    "variable_of",
]

#: How files that hold a ledger end.
_SQLITE = (".sqlite", ".sqlite3", ".db")
_A_FLAG: JsonDict = {"give": "give true or false"}
_ABOVE_0 = {"give": "give a number above 0, 86400 at most"}
_BATCH_SCHEDULES = (
    "is not a JSON object of workflow id to cron; give, for example, "
    '{"01968c1e-77aa-0000-4f0e-2b5d1c9a3e10": "0 9 * * 1"}'
)


def _known_warehouse(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://", "postgresql+")) and "://" in text:
        raise ValueError(
            f"starts with {text.split('://')[0]}://, which is not known: give the path of a "
            "DuckDB file, a postgresql:// URL or dlt:<destination>"
        )
    return text


def _schedules(text: Any) -> Any:
    try:
        parsed = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        parsed = None
    crons = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {"": None}
    if not all(isinstance(cron, str) for cron in crons.values()):
        raise ValueError(_BATCH_SCHEDULES)
    return crons


def _record(of: type[Record], example: str) -> BeforeValidator:
    """Reads a JSON object as a record of settings, and says which of its fields cannot be used."""

    def read(text: Any) -> Any:
        try:
            given = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise ValueError(f"is not a JSON object; give, for example, {example}")
        try:
            return of(**given)
        except ValidationError as error:
            said = [
                unknown_field(place, of.model_fields)
                if one["type"] == "extra_forbidden"
                else f"{place}: {one['msg']}"
                for one in error.errors(include_url=False)
                for place in [".".join(map(str, one["loc"]))]
            ]
        raise ValueError(f"cannot be used: {'; '.join(said)}")

    return BeforeValidator(read)


def _day_that_came(text: Any) -> date:
    return date.fromisoformat(day_that_came(text))


def _variable(field: str) -> str:
    name = field.upper()
    return name if name.startswith("POSTHOG_") else f"HOG_DAGSTER_{name}"


class Everywhere(Described, BaseSettings):
    """Variables that hold in every code location, and for every command."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        alias_generator=_variable,
        case_sensitive=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    ledger: str | None = Field(
        default=None, repr=False, json_schema_extra={"default": "a file in `DAGSTER_HOME`"}
    )
    """a SQLite path, a `postgresql://` URL or libpq's `host=... dbname=...`"""
    rate_limit: str | None = Field(
        default=None,
        repr=False,
        json_schema_extra={
            "default": "the ledger's database when that is PostgreSQL, else a temporary directory"
        },
    )
    """where requests are counted against the rate limit: a `postgresql://` URL (for all machines)
    or a directory (for one machine)"""
    ca_file: str | None = Field(
        default=None, json_schema_extra={"default": "`SSL_CERT_FILE`, else the public ones"}
    )
    """PEM file of the certificate authorities to trust"""
    client_certificate: str | None = None
    """PEM file of a client certificate and its private key, for a PostHog server that requires
    one"""
    dry_run: bool | None = Field(default=None, json_schema_extra={**_A_FLAG, "default": "unset"})
    """`false`: sensors and schedules send; unset: they report what they would send; `true`: nothing
    is sent, not even by hand"""
    strict: bool = Field(default=False, json_schema_extra=_A_FLAG)
    """`true`: a YAML setting of a component that has no effect is an error"""

    @model_validator(mode="before")
    @classmethod
    def _given(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Without the variables that are empty."""
        texts = {name: str(value).strip() for name, value in values.items()}
        return {name: text for name, text in texts.items() if text}


class Settings(Everywhere):
    """The default code location, `hog_dagster.definitions`."""

    posthog_host: str = "https://us.posthog.com"
    """address of the PostHog app"""
    posthog_api_key: str = Field(
        default="",
        repr=False,
        json_schema_extra={"default": "none: it loads and says what is missing"},
    )
    """personal API key"""
    posthog_project_id: str = ""
    """number of the project"""
    warehouse: Annotated[str, AfterValidator(_known_warehouse)] | None = Field(
        default=None, repr=False, json_schema_extra={"default": "a file in `DAGSTER_HOME`"}
    )
    """a DuckDB path, a `postgresql://` URL, or `dlt:<destination>`"""
    memory_limit: Annotated[str, AfterValidator(size_of_memory)] = Field(
        default="512MB", json_schema_extra={"give": "give a size such as 512MB or 2GB"}
    )
    """the memory DuckDB may use, such as `2GB`"""
    start_date: Annotated[date, BeforeValidator(_day_that_came)] | None = Field(
        default=None,
        json_schema_extra={
            "default": "the first of the month that began 90 days ago",
            "give": "give a day such as 2026-01-31, since 2020, that has begun",
        },
    )
    """the first daily partition"""
    lineage: bool = Field(default=True, json_schema_extra=_A_FLAG)
    """`false`: workflows, hog functions and insights get no assets of their own, and loading the
    code location sends no request to PostHog"""
    log_messages: Literal["mask", "keep", "drop"] = Field(
        default="mask", json_schema_extra={"give": "give mask, keep or drop"}
    )
    """text of log lines: `mask`, `keep` or `drop`"""
    messaging: Annotated[
        MessagingPolicy | None, NoDecode, _record(MessagingPolicy, '{"recipients": "hash"}')
    ] = Field(default=None, json_schema_extra={"default": "none of them"})
    """JSON: the fields of [`messaging`](component.md#messaging); `{}` loads all tables about
    messages but events, with addresses hashed"""
    deliverability: Annotated[
        Deliverability | None, NoDecode, _record(Deliverability, '{"max_bounce_rate": 0.02}')
    ] = Field(default=None, json_schema_extra={"default": "PostHog's own limits"})
    """JSON: the fields of [`checks.deliverability`](component.md#checks), the thresholds for
    e-mail"""
    batch_schedules: Annotated[dict[str, str], NoDecode, BeforeValidator(_schedules)] = Field(
        default={}, json_schema_extra={"default": "none"}
    )
    """JSON: workflow id to cron (UTC)"""
    max_audience: int | None = Field(
        default=None, ge=0, json_schema_extra={"give": "give a number of people"}
    )
    """do not send a batch job to more people than this"""
    send_uncounted: bool | None = Field(
        default=None, json_schema_extra={**_A_FLAG, "default": "`false`"}
    )
    """`true`: with a maximum set, send even if the server cannot count the audience"""
    send_truncated: bool | None = Field(
        default=None, json_schema_extra={**_A_FLAG, "default": "`false`"}
    )
    """`true`: send a batch job even if PostHog would cut its audience off"""
    headroom: float | None = Field(
        default=None,
        gt=0,
        le=1,
        json_schema_extra={"give": "give a number above 0, 1 at most", "default": "`0.9`"},
    )
    """share of PostHog's rate limit to use, from 0 to 1"""
    read_timeout_seconds: float | None = Field(
        default=None, gt=0, le=86_400, json_schema_extra={**_ABOVE_0, "default": "`60`"}
    )
    """how long PostHog may pause within a response"""
    max_wait_seconds: float | None = Field(
        default=None, gt=0, le=86_400, json_schema_extra={**_ABOVE_0, "default": "`3700`"}
    )
    """how long a request may wait for the rate limit"""
    lock_timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        json_schema_extra={**_ABOVE_0, "default": "`600`, PostgreSQL `300`"},
    )
    """how long a load waits for another load"""

    @field_validator("ledger")
    @classmethod
    def _known_ledger(cls, text: str | None) -> str | None:
        from hog_dagster.ledger import read_url

        try:
            read_url(text or "")
        except ValueError as error:
            raise ValueError(f"cannot be used: {error}") from None
        return text


Model = TypeVar("Model", bound=Everywhere)


def read_settings(model: type[Model]) -> Model:
    """The variables as they are now. Those that cannot be used are a ValueError, each with its name
    and what to give."""
    try:
        return model()
    except ValidationError as error:
        said = [_sentence(model, one) for one in error.errors(include_url=False)]
    raise ValueError("\n".join(dict.fromkeys(said)))


def _sentence(model: type[Everywhere], error: Any) -> str:
    """What is wrong with a variable. Only values that are no secrets are repeated."""
    name = str(error["loc"][0])
    extra = next(
        (f.json_schema_extra for f in model.model_fields.values() if f.alias == name), None
    )
    if isinstance(extra, dict) and "give" in extra:
        return f"{name} is {error['input']!r}; {extra['give']}."
    text = str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{name} {text}" + "." * (not text.endswith("?"))


def variable_of(field: str) -> str:
    """The variable that a field of `Settings` is read from, such as HOG_DAGSTER_LEDGER."""
    return str(Settings.model_fields[field].alias)


class ConnectionSettings(TypedDict):
    """Arguments of :class:`~hog_dagster.posthog.PostHogClient`."""

    rate_limit: str | None
    ca_file: str | None
    client_certificate: str | None


def connection_settings(
    *,
    rate_limit: str | None = None,
    ca_file: str | None = None,
    client_certificate: str | None = None,
) -> ConnectionSettings:
    """How PostHog is reached: what was given, and else what the environment says. A ``sqlite:`` URL
    or the path of a SQLite file, as of a ledger, stands for counting on this machine alone."""
    said = read_settings(Everywhere)
    where = rate_limit or said.rate_limit
    if not where and said.ledger and is_postgres(said.ledger):
        where = said.ledger
    if rate_limit and (rate_limit.startswith("sqlite") or rate_limit.endswith(_SQLITE)):
        where = None
    return {
        "rate_limit": where or None,
        "ca_file": ca_file or said.ca_file,
        "client_certificate": client_certificate or said.client_certificate,
    }
