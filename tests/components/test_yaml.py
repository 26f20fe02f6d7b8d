"""YAML that cannot be misread: one sentence per mistake, with file, line, field and remedy."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import jsonschema
import pytest
from dagster.components.resolved.context import ResolutionContext
from dagster_shared.yaml_utils import parse_yaml_with_source_position
from pydantic import BaseModel, TypeAdapter, ValidationError

from hog_dagster import DuckDBWarehouse, PostHogProjectComponent, assets, components, jobs, policies
from hog_dagster.components._names import check_names
from hog_dagster.components._yaml import YamlError
from hog_dagster.lineage._records import Snapshot
from hog_dagster.policies._queries import TAKEN
from hog_dagster.warehouse import Table
from tests.components.conftest import loaded

FULL = """\
type: hog_dagster.PostHogProjectComponent
attributes:
  name: eu
  host: "{{ env.TEST_HOST }}"
  api_key: "{{ env.TEST_KEY }}"
  project_id: 1
  headroom: 0.8
  read_timeout_seconds: 30
  max_wait_seconds: 600
  warehouse:
    duckdb: warehouse.duckdb
    lock_timeout_seconds: 60
    memory_limit: 2GB
  ledger: sqlite:///ledger.sqlite
  rate_limit: postgresql://hog:secret_of_rates@db.example.com/hog
  partitions:
    start_date: 2026-08-01
    every: daily
    lookback: 2
  workflows:
    names: ["Trial.*", "Monthly newsletter"]
    statuses: [active]
  hog_functions:
    types: [destination]
    enabled: true
  insights:
    - tags: [weekly]
      refresh: blocking
      timeout: 60
    - dashboards: [12]
  groups:
    types: [organization]
    columns: {plan: text, seats: bigint}
    history: true
  queries:
    - name: events
      hogql: SELECT uuid, event FROM events WHERE timestamp >= {start} AND timestamp < {end}
      key: [uuid]
      types: {uuid: text}
      start_date: 2026-09-01
      page_rows: 20000
      owners: [team:data]
    - name: persons
      hogql: SELECT id FROM persons
      partitions: snapshot
  messages: mask
  read_by: auto
  schedules:
    snapshots: "5 * * * *"
    insights: "35 5 * * *"
    queries: "6 5 * * *"
    reread: 3
    running: true
  safety:
    dry_run: true
    max_audience: 20000
    deny_workflows: [Password reset]
  sensors:
    replay:
      running: true
      dry_run: true
      already_sent: skip
      allow_workflows: [Trial ending]
      window_from: "2026-11-20T14:00:00+01:00"
      max_age_hours: 24
      grace_seconds: 900
      retry_after_seconds: 60
    observe:
      max_requests_per_tick: 60
    health:
      min_failure_share: 0.1
  batch_jobs:
    - workflow: Monthly newsletter
      cron: 0 9 1 * *
      timezone: Europe/Berlin
      max_audience: 5000
      reconcile_seconds: 150
      lock_wait_seconds: 60
      dry_run: true
    - workflow: Trial ending
      name: trial_reminder
      deps: [marts/trial_users]
      follow_seconds: 600
      dry_run: true
  checks:
    failure_rate:
      threshold: 0.05
      severity: error
      hours: 24
    volume_anomaly: null
  key_prefix: [posthog, eu]
  owners: [team:growth]
  workers: 8
"""


def component(text: str, path: str = "defs/posthog/defs.yaml") -> PostHogProjectComponent:
    """What Dagster makes of the YAML, without its definitions."""
    parsed = parse_yaml_with_source_position(text, path)
    context = ResolutionContext.default(parsed.source_position_tree).at_path("attributes")
    model = TypeAdapter(PostHogProjectComponent.get_model_cls()).validate_python(
        parsed.value["attributes"]
    )
    return PostHogProjectComponent.resolve_from_model(context, model)


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_HOST", "https://eu.posthog.com")
    monkeypatch.setenv("TEST_KEY", "phx_of_the_environment")
    for name in ("TEST_UNSET", "HOG_DAGSTER_STRICT"):
        monkeypatch.delenv(name, raising=False)


GROUPS = FULL[FULL.index("  groups:") : FULL.index("  queries:")]

#: A line of the example, what stands there instead, and what is said: field, remedy.
MUTATIONS: list[tuple[str, str, str, str]] = [
    # unknown keys, at every depth
    ("  headroom: 0.8", "  hedroom: 0.8", "hedroom is no field", "did you mean headroom?"),
    ("  workers: 8", "  wrokers: 8", "wrokers is no field", "did you mean workers?"),
    ("start_date: 2026-08", "start_dat: 2026-08", "partitions.start_dat", "mean start_date?"),
    ("    duckdb: ware", "    duckbd: ware", "warehouse.duckbd", "did you mean duckdb?"),
    ("    lock_timeout_s", "    lock_timout_s", "warehouse.lock_timout_seconds", "lock_timeout_"),
    ("    statuses: [", "    status: [", "workflows.status is no field", "did you mean statuses?"),
    ("      refresh: b", "      refesh: b", "insights[0].refesh", "did you mean refresh?"),
    ("    reread: 3", "    re_read: 3", "schedules.re_read", "did you mean reread?"),
    ("      grace_s", "      grace_sec_s", "sensors.replay.grace_sec_seconds", "grace_seconds?"),
    ("    observe:", "    observer:", "sensors.observer is no field", "did you mean observe?"),
    ("      timezone: E", "      time_zone: E", "batch_jobs[0].time_zone", "mean timezone?"),
    ("      threshold: 0", "      treshold: 0", "checks.failure_rate.treshold", "threshold?"),
    ("    volume_anomaly:", "    volume_anomoly:", "checks.volume_anomoly", "volume_anomaly?"),
    ("    dry_run: true\n    max", "    dryrun: true\n    max", "safety.dryrun", "mean dry_run?"),
    # types
    ("  workers: 8", "  workers: many", "workers is 'many'", "give a whole number"),
    ("  workers: 8", "  workers: true", "workers is true", "give a number"),
    ("  workers: 8", "  workers: [8]", "workers is a list", "give a whole number"),
    ("    enabled: true", "    enabled: maybe", "hog_functions.enabled", "give true or false"),
    ("  project_id: 1", "  project_id: my-project", "project_id is 'my-project'", "number"),
    ("  project_id: 1", "  project_id: 0", "project_id is 0", "is not a number"),
    (
        "    - dashboards: [",
        "    - dashboards: [x, ",
        "insights[1].dashboards[0] is 'x'",
        "whole num",
    ),
    (GROUPS, "  groups: all\n", "groups is 'all'", "a mapping of its fields"),
    ("      hours: 24", "      hours: a day", "checks.failure_rate.hours", "whole number"),
    ("    reread: 3", "    reread: 1.5", "schedules.reread is 1.5", "give a whole number"),
    ("    columns: {plan: text", "    columns: {plan: varchar", "groups.columns.plan", "bigint"),
    # ranges
    ("  headroom: 0.8", "  headroom: 8", "headroom is 8", "give 1 or less"),
    ("  workers: 8", "  workers: 0", "workers is 0", "give 1 or more"),
    ("      threshold: 0.05", "      threshold: 5", "threshold is 5", "give 1 or less"),
    ("    max_audience: 20000", "    max_audience: -1", "safety.max_audience is -1", "0 or more"),
    ("    lookback: 2", "    lookback: -2", "partitions.lookback is -2", "give 0 or more"),
    ("      timeout: 60", "      timeout: 0", "insights[0].timeout is 0", "give more than 0"),
    ("      max_age_hours: 24", "      max_age_hours: 0", "max_age_hours is 0", "more than 0"),
    ("      min_failure_share: 0.1", "      min_failure_share: 10", "min_failure_share", "1 or l"),
    ("      max_requests_per_tick: 60", "      max_requests_per_tick: 0", "per_tick is 0", "1 or"),
    # enumerations
    ("    statuses: [active]", "    statuses: [actve]", "statuses[0] is 'actve'", "mean active"),
    ("      severity: error", "      severity: fatal", "severity is 'fatal'", "warn, error"),
    ("    types: [destination]", "    types: [destinaton]", "types[0] is", "did you mean dest"),
    ("      refresh: blocking", "      refresh: blocked", "refresh is 'blocked'", "did you mean"),
    ("  messages: mask", "  messages: hide", "messages is 'hide'", "mask"),
    ("  read_by: auto", "  read_by: sql", "read_by is 'sql'", "hogql"),
    ("    every: daily", "    every: weekly", "partitions.every is 'weekly'", "daily"),
    ("      already_sent: skip", "      already_sent: maybe", "already_sent is", "if_resumes"),
    # cron, zones, regular expressions, dates, addresses, names
    ("      cron: 0 9 1 * *", "      cron: every day", "cron is 'every day'", "0 9 * * 1"),
    ('    snapshots: "5 *', '    snapshots: "75 *', "schedules.snapshots is '75 *", "cron rule"),
    ("zone: Europe/Berlin", "zone: Europe/Berln", "'Europe/Berln'", "did you mean Europe/Berlin?"),
    ('names: ["Trial.*"', 'names: ["Trial(.*"', "workflows.names[0] is", "regular expression"),
    ("start_date: 2026-08-01", "start_date: 2099-01-01", "start_date is '2099-01-01'", "begun"),
    ("start_date: 2026-08-01", "start_date: yesterday", "start_date is 'yesterday'", "2026-01-31"),
    ('window_from: "2026-11-20T14', 'window_from: "monday 14', "window_from is", "ISO 8601"),
    ('window_from: "2026-11-20T14', 'window_from: "0001-01-01T00', "window_from is", "ISO 8601"),
    ('host: "{{ env.TEST_HOST }}"', "host: eu.posthog.com", "host is 'eu.posthog.com'", "https://"),
    ('host: "{{ env.TEST_HOST }}"', "host: https://eu.i.posthog.com", "host is", "eu.posthog.com"),
    ("ledger: sqlite:///led", "ledger: mysql://led", "ledger cannot be used", "postgresql://"),
    ("    duckdb: warehouse.d", "    postgres: warehouse.d", "warehouse.postgres", "postgresql://"),
    ("    duckdb: w", "    duckdb: mysql://w", "warehouse.duckdb is 'mysql://w", "path of a file"),
    ("  owners: [team:growth]", "  owners: [growth]", "owners[0] is 'growth'", "team:growth"),
    ("  name: eu", "  name: e u", "name is 'e u'", "letters, digits and underscores"),
    ("      name: trial_rem", "      name: trial rem", "batch_jobs[1].name", "a text that fits"),
    # where the rate limit is counted, certificates, memory, queries
    ("rate_limit: postgresql", "rate_limit: redis", "rate_limit cannot be used", "postgresql://"),
    ("  rate_limit: post", "  ca_file: https://x.y\n  rate_limit: post", "ca_file is", "PEM file"),
    ("_limit: 2GB", "_limit: plenty", "warehouse.memory_limit is 'plenty'", "such as 512MB"),
    ("      page_rows: 20000", "      page_rows: 60000", "queries[0].page_rows", "50000 or less"),
    ("      key: [uuid]", "      key: [uuid, uuid]", "queries[0]: Query 'events'", "uuid twice"),
    ("types: {uuid: text", "types: {uuid: varchar", "queries[0].types.uuid is", "bigint"),
    ("start_date: 2026-09-01", "start_date: soon", "queries[0].start_date is 'soon'", "2026-01-31"),
    ("timestamp < {end}", "timestamp < now()", "queries[0]: Query 'events'", "has no {end}"),
    ("owners: [team:data]", "owners: [data]", "queries[0].owners", "team:growth"),
    ('    queries: "6 5', '    queries: "66 5', "schedules.queries is '66 5", "cron rule"),
    # variables, and what would never happen
    ("duckdb: warehouse.duckdb", 'duckdb: "{{ env.TEST_UNSET }}"', "TEST_UNSET", "set it"),
    (
        "ledger: sqlite:///ledger.sqlite",
        'ledger: "{{ env.TEST_UNSET }}"',
        "needs TEST_UNSET",
        "set it",
    ),
    ("  workers: 8", '  workers: "{{ workres }}"', "workers is a template", "workres"),
    ("      deps: [marts/trial_users]\n", "", "batch_jobs[1]", "never be sent"),
    ("    - workflow: Trial ending\n      name", "    - name", "batch_jobs[1].workflow", "give it"),
    # one of each kind of mistake, wherever in the example it can be made
    ("  api_key: ", "  apikey: ", "apikey is no field", "did you mean api_key?"),
    ("  key_prefix: [", "  prefix: [", "prefix is no field", "did you mean key_prefix?"),
    ("    memory_limit: 2GB", "    memory: 2GB", "warehouse.memory", "did you mean memory_limit?"),
    ("    lookback: 2", "    look_back: 2", "partitions.look_back", "did you mean lookback?"),
    ("    history: true", "    histroy: true", "groups.histroy", "did you mean history?"),
    ("      page_rows: 2", "      pagerows: 2", "queries[0].pagerows", "did you mean page_rows?"),
    ("      hogql: SELECT id", "      sql: SELECT id", "queries[1].sql", "did you mean hogql?"),
    ("    deny_workflows: [P", "    deny: [P", "safety.deny", "there are allow_workflows"),
    ("      hours: 24", "      hour: 24", "checks.failure_rate.hour", "did you mean hours?"),
    ("      follow_seconds", "      follow", "batch_jobs[1].follow", "mean follow_seconds?"),
    ("  name: eu", "  Name: eu", "Name is no field", "did you mean name?"),
    ("    volume_anomaly: null", "    volume_anomaly: false", "volume_anomaly", "write null to"),
    (
        "    observe:\n      max_requests_per_tick: 60",
        "    observe: off",
        "observe is f",
        "null to",
    ),
    (
        "    observe:\n      max_requests_per_tick: 60",
        "    observe: true",
        "observe is t",
        "mapping",
    ),
    ("    duckdb: warehouse.d", "    dlt: warehouse.d", "warehouse.dlt is", "its fields"),
    ("    duckdb: warehouse.duckdb", "    dlt: {destination: bigquerry}", "bigquerry", "bigquery?"),
    ("    duckdb: warehouse.duckdb", "    dlt: {bucket_url: x}", "dlt.destination is m", "give it"),
    (
        "    duckdb: w",
        "    reader_role: bi\n    duckdb: w",
        "reader_role is of postgres",
        "leave it",
    ),
    (
        "    duckdb: warehouse.d",
        "    postgres: postgresql://u@h/d",
        "memory_limit is of",
        "leave it",
    ),
    (
        "    duckdb: w",
        "    postgres: postgresql://u@h/d\n    duckdb: w",
        "several engines",
        "one of",
    ),
    ("  headroom: 0.8", "  headroom: 80%", "headroom is '80%'", "give a number"),
    ("  headroom: 0.8", "  headroom: .nan", "headroom is nan", "give a finite number"),
    ("  read_timeout_seconds: 30", "  read_timeout_seconds: .inf", "_seconds is inf", "a finite"),
    ("  read_timeout_seconds: 30", "  read_timeout_seconds: 30s", "seconds is '30s'", "a number"),
    ("  max_wait_seconds: 600", "  max_wait_seconds: -1", "max_wait_seconds is -1", "0 or more"),
    ("  project_id: 1", "  project_id: 1.5", "project_id is 1.5", "give a whole number"),
    ("  project_id: 1", "  project_id: phc_token", "project_id", "Give the project's number"),
    ("  project_id: 1", "  project_id: https://x.y/project/1", "project_id", "project's number"),
    ("  project_id: 1", "  project_id: $PROJECT", "project_id is $PROJECT", "'{{ env.PROJECT }}'"),
    ('"{{ env.TEST_KEY }}"', "phc_secret_of_rates", "api_key cannot be used", "personal API key"),
    ('"{{ env.TEST_KEY }}"', "[phx_secret_of_rates]", "api_key is a list", "give a text"),
    ('"{{ env.TEST_KEY }}"', "{env: TEST_KEY}", "api_key is a mapping", "give a text"),
    ('"{{ env.TEST_KEY }}"', '"{{ env.TEST_KEY }"', "api_key is a template", "unexpected '}'"),
    ('"{{ env.TEST_KEY }}"', '"{{ ENV.TEST_KEY }}"', "api_key is a template", "scope is: env"),
    ('"{{ env.TEST_KEY }}"', '"${TEST_KEY}"', "api_key is $TEST_KEY", "'{{ env.TEST_KEY }}'"),
    ('"{{ env.TEST_HOST }}"', "https://x.y/project/1", "host is", "goes under project_id"),
    ('"{{ env.TEST_HOST }}"', "ftp://eu.posthog.com", "host is 'ftp:", "http or https"),
    ('"{{ env.TEST_HOST }}"', "https://u:secret_of_rates@x.y", "host cannot be used", "in api_key"),
    ('"{{ env.TEST_HOST }}"', "https://x.y:99999", "host is 'https://x.y:99999'", "port"),
    ("start_date: 2026-08-01", "start_date: 01.08.2026", "start_date is '01.08", "2026-01-31"),
    ("start_date: 2026-08-01", "start_date: 2026-13-01", "start_date is '2026-13", "2026-01-31"),
    ("start_date: 2026-08-01", "start_date: 0001-01-01", "start_date is '0001", "since 2020"),
    ("    lookback: 2", "    lookback: 100000", "lookback is 100000", "give 90 or less"),
    ("    every: daily", "    every: Daily", "partitions.every is 'Daily'", "mean daily?"),
    ("    statuses: [active]", "    ids: [Trial ending]", "workflows.ids[0]", "under `names`"),
    ("    statuses: [active]", "    ids: [12]", "workflows.ids[0] is 12", "a text in quotes"),
    ("    statuses: [active]", "    statuses: {active: true}", "statuses is a map", "give a list"),
    ('names: ["Trial.*"', 'names: [""', "workflows.names[0] is ''", "regular expression"),
    ('names: ["Trial.*"', 'names: ["*Trial"', "workflows.names[0]", "nothing to repeat"),
    ("      refresh: b", "      short_ids: [A title]\n      refresh: b", "short_ids[0]", "`names`"),
    (
        "    - dashboards: [12]",
        "    - dashboards: [0]",
        "insights[1].dashboards[0] is 0",
        "1 or mo",
    ),
    ("    columns: {plan: text", "    columns: {plan: ", "groups.columns.plan is empty", "bigi"),
    ("    - name: events", "    - name: workflows", "queries[0]: Query 'workflows'", "another one"),
    ("    - name: events", "    - name: my events", "queries[0]: Query 'my events'", "lower-case"),
    ("      hogql: SELECT id FROM persons", "      hogql: ''", "queries[1]", "its hogql is empty"),
    ("start_date: 2026-09-01", "start_date: 2099-01-01", "queries[0].start_date", "has begun"),
    ("      partitions: snapshot", "      partitions: weekly", "queries[1].partitions", "hourly"),
    ('    snapshots: "5 * * * *"', "    snapshots: hourly", "schedules.snapshots", "cron rule"),
    (
        '    insights: "35 5 * * *"',
        "    insights: '* * * * * *'",
        "schedules.insights",
        "cron rule",
    ),
    ("    max_audience: 20000", "    max_audience: 20k", "max_audience is '20k'", "whole number"),
    ("    deny_workflows: [Password reset]", "    deny_workflows: ['']", "workflows[0]", "a name"),
    ("    deny_workflows: [Password reset]", "    deny_workflows: {a: b}", "_workflows", "a list"),
    (
        "[Password reset]",
        '["{{ env.TEST_UNSET }}"]',
        "deny_workflows[0] needs TEST_UNSET",
        "set it",
    ),
    (
        "      max_age_hours: 24",
        "      window_to: 2026-11-19\n      max_age_hours: 24",
        "sensors.replay.window_to is '2026-11-19'",
        "after window_from",
    ),
    ("      grace_seconds: 900", "      time_budget_seconds: 60", "budget_seconds is 60", "45 or"),
    (
        "      grace_seconds: 900",
        "      slice_size: 100000",
        "slice_size is 100000",
        "10000 or les",
    ),
    ("      cron: 0 9 1 * *", "      cron: '0 9 1 13 *'", "batch_jobs[0].cron", "cron rule"),
    (
        "      cron: 0 9 1 * *",
        "      cron: ['0 9 1 * *']",
        "batch_jobs[0].cron is a list",
        "a text",
    ),
    ("zone: Europe/Berlin", "zone: CET+1", "timezone is 'CET+1'", "did you mean CET?"),
    (
        "      reconcile_seconds: 150",
        "      variables: [a]",
        "batch_jobs[0].variables",
        "a mapping",
    ),
    ("      reconcile_seconds: 150", "      pool: my pool", "batch_jobs[0].pool", "without spaces"),
    (
        "      reconcile_seconds: 150",
        "      tags: {a: 1}",
        "batch_jobs[0].tags.a is 1",
        "in quotes",
    ),
    ("      reconcile_seconds: 150", "      tags: {a: b c}", "tags.a is 'b c'", "at most 63"),
    ("      deps: [marts/trial_users]", "      deps: [marts//users]", "deps[0]", "marts/users"),
    ("workflow: Monthly newsletter", "workflow: ''", "batch_jobs[0].workflow is ''", "a name"),
    (
        "      severity: error",
        "      severity: Error",
        "severity is 'Error'",
        "did you mean error?",
    ),
    ("      threshold: 0.05", "      threshold: 5%", "threshold is '5%'", "give a number"),
    ("    volume_anomaly: null", "    volume_anomaly: {low: 5, high: 1}", "low is", "swap them"),
    (
        "    volume_anomaly: null",
        "    completeness: {days: 100}",
        "completeness.days",
        "90 or less",
    ),
    ("  key_prefix: [posthog, eu]", "  key_prefix: posthog/eu", "key_prefix is", "letters, digits"),
    ("  owners: [team:growth]", "  owners: [me@example]", "owners[0]", "an e-mail address"),
    ("  workers: 8", "  workers: 100000", "workers is 100000", "give 100 or less"),
    ("  workers: 8", '  workers: "{{ 8 "', "workers is a template", "end of template"),
    ("  workers: 8", "  tags: {a b: x}", "tags.a b", "a tag's key has letters"),
    ("  workers: 8", "  group_name: my group", "group_name is 'my group'", "letters, digits"),
    ("  workers: 8", "  op: {polo: x}", "op.polo is no field of op", "did you mean pool?"),
    ("  workers: 8", "  op: posthog", "op is 'posthog'", "a mapping of its fields (name"),
    ("  workers: 8", "  op: {backfill_policy: {type: weekly}}", "y.type is 'we", "run, multi_run"),
    ("  workers: 8", "  translation: {ownrs: [x]}", "translation.ownrs", "did you mean owners?"),
    ("  workers: 8", "  translation: 5", "translation is 5", "a mapping of its fields (deps"),
    (
        "  workers: 8",
        "  defs_state: {management_type: S3}",
        "management_type is 'S3'",
        "LOCAL_FILE",
    ),
    ("  workers: 8", "  defs_state: {type: S3}", "defs_state.type is no", "mean management_type?"),
    ("  workers: 8", "  alerts: {}", "alerts: give slack_webhook", "alerts go nowhere otherwise"),
    ("  workers: 8", "  alerts: {slack_webhok: x}", "alerts.slack_webhok", "mean slack_webhook?"),
    ("  workers: 8", "  alerts: {webhook: 'https://'}", "alerts.webhook cannot", "names a host"),
    (
        "  workers: 8",
        "  alerts: {email: {host: h, sender: a@b, to: []}}",
        "alerts.email.to",
        "an it",
    ),
    ("  workers: 8", "  alerts: {email: {host: h, sender: a@b}}", "email.to is missing", "give it"),
    ("  workers: 8", "  alerts: {webhook: 'http://x', operations_cron: no}", "cron", "in quotes"),
    ("ledger: sqlite:///ledger.sqlite", "ledger: sqlite://l", "ledger cannot", "three slashes"),
    ("_limit: 2GB", "_limit: -2GB", "warehouse.memory_limit is '-2GB'", "such as 512MB"),
    ("  messages: mask", "  messages: null", "messages is empty", "give one of keep, mask, drop"),
]


@pytest.mark.parametrize(
    ("line", "instead", "named", "remedy"),
    MUTATIONS,
    ids=[one[1].strip()[:40] for one in MUTATIONS],
)
def test_a_mistake_is_one_sentence_with_line_field_and_remedy(
    line: str, instead: str, named: str, remedy: str
) -> None:
    assert FULL.count(line) == 1, line
    changed = FULL.replace(line, instead)
    with pytest.raises(YamlError) as refused:
        component(changed)
    (said,) = str(refused.value).splitlines()
    assert named in said
    assert remedy in said
    place = re.match(r"defs/posthog/defs\.yaml:(\d+): ", said)
    assert place, said
    at = FULL[: FULL.index(line)].count("\n") + 1
    assert at - 2 <= int(place[1]) <= at + 1, (said, at)
    assert "phx_of_the_environment" not in said
    assert "secret_of_rates" not in said


def test_the_example_is_right_and_everything_arrives() -> None:
    made = component(FULL)
    assert made._source.notes == []
    assert made.headroom == 0.8
    assert made.warehouse.lock_timeout_seconds == 60
    assert isinstance(warehouse := made.warehouse.resource(), DuckDBWarehouse)
    assert warehouse.memory_limit == "2GB"
    assert [query.partitioned for query in made.queries] == [True, False]
    assert made.queries[0].start_date == "2026-09-01"
    assert made.schedules.queries == "6 5 * * *"
    assert made.partitions.start_date == "2026-08-01"
    assert made.sensors.replay is not None
    assert made.sensors.replay.retry_after_seconds == 60
    assert made.batch_jobs[0].lock_wait_seconds == 60
    assert made.checks is not None
    assert made.checks.volume_anomaly is None


def test_a_query_may_have_the_name_of_no_other_table(snapshot: Snapshot) -> None:
    with loaded({"groups": {"history": True}, "queries": []}, snapshot) as (_, defs):
        tables = {
            spec.key.path[-1]
            for spec in defs.resolve_all_asset_specs()
            if "dagster/table_name" in spec.metadata
        }
    assert tables
    assert tables <= TAKEN


def test_a_query_may_have_the_name_of_no_table_that_another_setting_brings() -> None:
    modules = [
        import_module(module.name)
        for module in walk_packages(assets.__path__, f"{assets.__name__}.")
    ]
    declared = {
        one.name for module in modules for one in vars(module).values() if isinstance(one, Table)
    }
    assert {"sent_messages", "projects"} <= declared
    assert declared <= TAKEN


def test_two_queries_of_one_name_are_refused() -> None:
    with pytest.raises(YamlError, match=r"defs.yaml:\d+: queries .*events is given twice"):
        component(FULL.replace("    - name: persons", "    - name: events"))


@pytest.mark.parametrize("field", ["ca_file", "client_certificate"])
def test_a_certificate_that_is_not_here_is_a_warning(field: str, tmp_path: Path) -> None:
    there = tmp_path / "there.pem"
    there.touch()
    line = "  rate_limit: post"
    made = component(FULL.replace(line, f"  {field}: {there}\n{line}"))
    assert made._source.notes == []
    made = component(FULL.replace(line, f"  {field}: nowhere.pem\n{line}"))
    (note,) = made._source.notes
    assert f"{field} names no file here" in note


def test_a_private_key_in_the_place_of_its_file_is_refused_and_not_shown() -> None:
    line = "  rate_limit: post"
    with pytest.raises(YamlError, match="give the path of a PEM file") as refused:
        component(FULL.replace(line, f"  client_certificate: '-----BEGIN KEY----- TUlJ'\n{line}"))
    assert "TUlJ" not in str(refused.value)


@pytest.mark.parametrize("wrong", [5, True, "x y", [1], {"a": 1}, None])
def test_any_value_anywhere_is_a_sentence_or_right_and_never_a_traceback(wrong: Any) -> None:
    parsed = parse_yaml_with_source_position(FULL, "defs.yaml")

    def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        items = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        for key, one in items:
            yield (*at, key)
            yield from paths(one, (*at, key))

    def replaced(value: Any, path: tuple[Any, ...]) -> Any:
        if not path:
            return wrong
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[path[0]] = replaced(value[path[0]], path[1:])
        return copy

    tree = parsed.source_position_tree
    context = ResolutionContext.default(tree).at_path("attributes")
    model_of = TypeAdapter(PostHogProjectComponent.get_model_cls()).validate_python
    tried = 0
    for path in paths(parsed.value["attributes"]):
        tried += 1
        raw = replaced(parsed.value["attributes"], path)
        try:
            PostHogProjectComponent.resolve_from_model(context, model_of(raw))
        except YamlError as error:
            for said in str(error).splitlines():
                assert re.match(r"defs\.yaml:\d+: \w", said), said
                assert said.endswith((".", "?")), said
    assert tried > 80


def test_a_text_where_a_list_belongs_is_one_item() -> None:
    made = component(
        FULL.replace("deps: [marts/trial_users]", "deps: marts/trial_users")
        .replace('names: ["Trial.*", "Monthly newsletter"]', "names: Trial.*")
        .replace("deny_workflows: [Password reset]", "deny_workflows: Password reset")
        .replace("owners: [team:growth]", "owners: team:growth")
        .replace("    - dashboards: [12]", "    - dashboards: 12")
    )
    assert made.batch_jobs[1].deps == ["marts/trial_users"]
    assert made.workflows.names == ("Trial.*",)
    assert made.safety.deny_workflows == ["Password reset"]
    assert list(made.owners) == ["team:growth"]
    assert made.insights is not None
    assert made.insights[1].dashboards == (12,)


@pytest.mark.parametrize(
    ("written", "kind"),
    [("warehouse.duckdb", "duckdb"), ("postgresql://u:p@h:5432/db", "postgres")],
)
def test_a_warehouse_can_be_a_text(written: str, kind: str) -> None:
    made = component(f"type: x\nattributes:\n  warehouse: {written}\n")
    assert made.warehouse.resource().kind == kind
    assert ":p@" not in repr(made)


def test_a_warehouse_of_another_engine_is_one_sentence() -> None:
    with pytest.raises(YamlError, match=r"defs\.yaml:3: warehouse.*mysql:// is not known"):
        component("type: x\nattributes:\n  warehouse: mysql://u:secret@h/db\n")


def test_several_mistakes_are_all_said() -> None:
    with pytest.raises(YamlError) as refused:
        component(FULL.replace("workers: 8", "workers: x").replace("daily", "weekly"))
    assert len(str(refused.value).splitlines()) == 2


def test_what_would_do_nothing_is_a_warning_that_ci_can_fail_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    literal = FULL.replace("{{ env.TEST_KEY }}", "phx_in_the_file")
    (said,) = component(literal)._source.notes
    assert said.startswith("defs/posthog/defs.yaml:5: api_key is a literal")
    assert "phx_in_the_file" not in said
    moving = FULL.replace("    start_date: 2026-08-01\n", "")
    (said,) = component(moving)._source.notes
    assert "the first partition moves each month" in said
    unset = FULL.replace("env.TEST_KEY", "env.POSTHOG_KEY_TYPO")
    made = component(unset)
    assert "api_key needs POSTHOG_KEY_TYPO, which is not set" in made._source.notes[0]
    assert made._missing() == ["POSTHOG_KEY_TYPO"]
    monkeypatch.setenv("HOG_DAGSTER_STRICT", "true")
    with pytest.raises(YamlError, match="POSTHOG_KEY_TYPO"):
        component(unset)._source.end()


#: A line, what stands there instead, and what the state says to it.
UNKNOWN = [
    (
        "workflow: Monthly newsletter",
        "workflow: Montly newsletter",
        ["Montly", "mean Monthly"],
    ),
    (
        "allow_workflows: [Trial ending]",
        "allow_workflows: [Trial endng]",
        ["endng", "mean Trial"],
    ),
    ("deny_workflows: [Password reset]", "deny_workflows: [Nobody]", ["'Nobody'", "no workflow"]),
    ('names: ["Trial.*"', 'names: ["Nothing.*"', ["'Nothing.*', which matches no workflow"]),
    ("    - tags: [weekly]", "    - tags: [wekly]", ["insights[0].tags[0] is 'wekly'"]),
    ("    types: [organization]", "    types: [organisation]", ["groups.types[0]", "mean organiz"]),
    ("workflow: Monthly newsletter", "workflow: Welcome new users", ["has no audience", "batch"]),
]


@pytest.mark.parametrize(("line", "instead", "named"), UNKNOWN, ids=[one[1] for one in UNKNOWN])
def test_a_name_that_the_state_does_not_have_is_a_warning_with_its_line(
    line: str, instead: str, named: list[str], snapshot: Snapshot
) -> None:
    import msgspec

    known = msgspec.structs.replace(snapshot, group_types=("organization", "company"))
    before, after = component(FULL), component(FULL.replace(line, instead))
    for made in (before, after):
        check_names(made, known, made._source)
    new = [said for said in after._source.notes if said not in before._source.notes]
    (said,) = [one for one in new if all(word in one for word in named)]
    at = FULL[: FULL.index(line)].count("\n") + 1
    assert said.startswith(f"defs/posthog/defs.yaml:{at}: ")


SCHEMA: dict[str, Any] = PostHogProjectComponent.get_model_cls().model_json_schema()  # type: ignore


def schema_errors(text: str) -> list[Any]:
    value = parse_yaml_with_source_position(text, "x").value["attributes"]
    return list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(value))


def test_the_schema_takes_the_example_templates_and_single_items() -> None:
    assert schema_errors(FULL.replace("start_date: 2026-08-01", "start_date: '2026-08-01'")) == []
    loose = "type: x\nattributes:\n  workers: '{{ 8 }}'\n  workflows: {names: Trial.*}\n"
    assert schema_errors(loose + "  warehouse: w.duckdb\n  batch_jobs: []\n") == []


@pytest.mark.parametrize(
    ("line", "instead"),
    [(one[0], one[1]) for one in MUTATIONS if "is no field" in one[2]]
    + [
        ("  workers: 8", "  workers: many"),
        ("      threshold: 0.05", "      threshold: 5"),
        ("    statuses: [active]", "    statuses: [actve]"),
        ("      severity: error", "      severity: fatal"),
    ],
)
def test_dg_check_yaml_refuses_by_the_schema_too(line: str, instead: str) -> None:
    fixed = FULL.replace("start_date: 2026-08-01", "start_date: '2026-08-01'")
    assert schema_errors(fixed.replace(line, instead)) != []


def test_two_names_that_are_one_are_refused() -> None:
    twice = FULL.replace(
        "      cron: 0 9 1 * *", "      name: trial_reminder\n      cron: 0 9 1 * *"
    )
    with pytest.raises(YamlError, match="name is given twice"):
        component(twice)


def spans() -> list[tuple[type[BaseModel], str]]:
    """Every field of a record or of a run's config that is a span of time."""
    rooms = (policies, components, jobs)
    records = {
        one
        for room in rooms
        for one in vars(room).values()
        if isinstance(one, type) and issubclass(one, BaseModel)
    }
    ends = ("seconds", "minutes", "hours")
    return sorted(
        (
            (record, name)
            for record in records
            for name in record.model_fields
            if name.endswith(ends)
        ),
        key=lambda pair: (pair[0].__name__, pair[1]),
    )


@pytest.mark.parametrize(("record", "name"), spans())
@pytest.mark.parametrize("endless", [float("inf"), 1e13])
def test_a_span_that_no_calendar_holds_is_refused(record, name: str, endless: float) -> None:
    with pytest.raises(ValidationError) as raised:
        record.model_validate({name: endless})
    assert (name,) in {error["loc"] for error in raised.value.errors()}
