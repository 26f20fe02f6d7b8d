"""What Dagster's pages show of a project: settings without secrets, whole names and sentences."""

import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import ResourceSnap
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from hog_dagster import PostHogProjectComponent, policies
from hog_dagster import resources as exported
from hog_dagster.assets import AssetOptions, HogFunctionSelection, InsightSelection
from hog_dagster.checks import CheckRules
from hog_dagster.components._build import build_posthog_definitions
from hog_dagster.components._records import BatchJob, Groups, Schedules, Sensors
from hog_dagster.components._resource_pages import hidden, shown_settings
from hog_dagster.lineage._names import object_labels
from hog_dagster.resources import (
    DltWarehouse,
    DuckDBWarehouse,
    LedgerResource,
    PostgresWarehouse,
    PostHogResource,
)

POSTHOG = PostHogResource(host="https://eu.posthog.com", api_key="phx_secret", project_id="7")


def page_of(resource: dg.ConfigurableResource) -> ResourceSnap:
    return ResourceSnap.from_def(
        name="it",
        resource_def=hidden(resource),
        nested_resources={},
        parent_resources={},
        resource_asset_usage_map={},
        resource_job_usage_map={},
        resource_schedule_usage_map={},
        resource_sensor_usage_map={},
    )


def test_the_page_of_a_resource_shows_where_it_is_and_no_secret():
    page = page_of(POSTHOG)
    shown = {name: str(value) for name, value in page.configured_values.items()}
    assert shown["host"] == '"https://eu.posthog.com"'
    assert shown["project_id"] == '"7"'
    assert "phx_secret" not in repr(page)
    assert "kept off this page" in shown["api_key"]
    ledger = page_of(LedgerResource(url="postgresql://hog:pa55w0rd@db.internal:5433/dagster"))
    assert "postgresql://db.internal:5433/dagster" in str(ledger.configured_values["url"])
    assert "pa55w0rd" not in repr(ledger)
    assert "hog:" not in repr(ledger)


@pytest.mark.parametrize(
    ("resource", "name", "shown"),
    [
        (DuckDBWarehouse(path="w/x.duckdb"), "path", "w/x.duckdb"),
        (LedgerResource(url="sqlite:////srv/l.sqlite"), "url", "sqlite:////srv/l.sqlite"),
        (PostgresWarehouse(url=dg.EnvVar("W_URL")), "url", "from the environment variable W_URL"),
        (DltWarehouse(destination="bigquery"), "destination", "bigquery"),
        (
            PostgresWarehouse(url="host=db password=hush"),
            "url",
            "set; its value is kept off this page",
        ),
    ],
)
def test_settings_are_shown_as_far_as_they_are_no_secret(resource, name: str, shown: str):
    assert shown_settings(resource)[name] == shown


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=12))
def test_no_password_reaches_a_page(password: str):
    secret = f"Pw{password}9"
    shown = shown_settings(PostgresWarehouse(url=f"postgresql://hog:{secret}@db:5432/x"))
    assert secret not in shown["url"]
    assert password not in shown["url"].replace("postgresql://db:5432/x", "")


def test_run_config_cannot_pretend_to_change_a_setting(tmp_path: Path):
    @dg.op(required_resource_keys={"warehouse"})
    def nothing() -> None: ...

    @dg.job(resource_defs={"warehouse": hidden(DuckDBWarehouse(path=str(tmp_path / "w.duckdb")))})
    def it() -> None:
        nothing()

    assert it.execute_in_process().success
    shown = shown_settings(DuckDBWarehouse(path="elsewhere"))
    changed = it.execute_in_process(
        run_config={"resources": {"warehouse": {"config": shown}}}, raise_on_error=False
    )
    assert not changed.success


# --- names and sentences --------------------------------------------------------------------


@given(st.lists(st.tuples(st.uuids().map(str), st.text(max_size=80)), max_size=8, unique=True))
def test_the_name_of_a_node_in_the_graph_fits_into_it(named):
    """Dagster cuts names of more than 32 letters in their middle."""
    known = dict(named)
    labels = object_labels(known.items())
    assert len(set(labels.values())) == len(known)
    for ident, label in labels.items():
        assert len(label) <= 32 or ident.replace("-", "_") in label


def test_a_long_name_ends_with_a_whole_word():
    ident = "01968c1e-77aa-7000-8000-00000000abcd"
    labels = object_labels([(ident, "Monthly newsletter for customers in Europe")])
    assert labels[ident] == "monthly_newsletter_for_abcd"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder = tmp_path_factory.mktemp("all")
    return build_posthog_definitions(
        posthog=POSTHOG,
        warehouse=DuckDBWarehouse(path=str(folder / "w.duckdb")),
        ledger=LedgerResource(url=f"sqlite:///{folder / 'l.sqlite'}"),
        functions=HogFunctionSelection(),
        insights=[InsightSelection()],
        groups=Groups(),
        checks=CheckRules(),
        schedules=Schedules(),
        sensors=Sensors(),
        batch_jobs=[BatchJob(workflow="01968c1e-77aa-7000-8000-00000000abcd", cron="0 9 * * *")],
        hide_settings=True,
    )


def described(defs: dg.Definitions) -> Iterator[tuple[str, str]]:
    """(what, description) of everything that Dagster's UI describes."""
    repository = defs.get_repository_def()
    for spec in defs.resolve_all_asset_specs():
        yield f"asset {spec.key.to_user_string()}", spec.description or ""
        schema = spec.metadata.get("dagster/column_schema")
        for column in getattr(schema, "columns", []):
            yield f"column {spec.key.path[-1]}.{column.name}", column.description or ""
    for check in defs.resolve_asset_graph().asset_check_keys:
        found = defs.resolve_asset_graph().get_check_spec(check)
        yield f"check {check.name} of {check.asset_key.path[-1]}", found.description or ""
    for job in repository.get_all_jobs():
        if not job.name.startswith("__"):
            yield f"job {job.name}", job.description or ""
            for node in job.nodes:
                if node.name.endswith("_op"):
                    yield f"op {node.name}", node.definition.description or ""
    for sensor in repository.sensor_defs:
        if sensor.name.startswith("default_"):
            continue  # It is Dagster's own.
        yield f"sensor {sensor.name}", sensor.description or ""
    for schedule in repository.schedule_defs:
        yield f"schedule {schedule.name}", schedule.description or ""
    for name, resource in repository.get_top_level_resources().items():
        yield f"resource {name}", resource.description or ""
        field = resource.config_schema.as_field()
        for one, of in getattr(field.config_type, "fields", {}).items():
            yield f"setting {name}.{one}", of.description or ""
    for name in exported.__all__:
        for one, of in getattr(exported, name).model_fields.items():
            yield f"setting {name}.{one}", of.description or ""


#: Words that the glossary of CONTRIBUTING.md replaces.
_NOT = re.compile(
    r"\b(answers?|told|so many|so often|so long|put away|fortnight|landed|landing|lands?|upkeep|"
    r"tally|verdict|pacing|pacer|acts? (?:is|was|that|of)|said|speaks?)\b",
    re.IGNORECASE,
)


def test_every_description_is_a_whole_sentence(definitions):
    odd = []
    for what, text in described(definitions):
        lines = text.strip().splitlines()
        first = lines[0].strip() if lines else ""
        if (
            not text.strip()
            or not text.strip().endswith((".", ")", "`"))
            or "\n    " in text
            or (
                len(lines) > 1
                and first
                and lines[1].strip() == ""
                and not first.endswith((".", ")"))
            )
        ):
            odd.append((what, text))
    assert odd == []


def test_descriptions_use_the_words_of_the_glossary(definitions):
    odd = [(what, text) for what, text in described(definitions) if _NOT.search(text)]
    assert odd == []


def test_names_of_groups_are_shown_whole_where_the_lineage_is_collapsed(definitions):
    groups = {spec.group_name or "" for spec in definitions.resolve_all_asset_specs()}
    groups |= {AssetOptions().group_for(name) for name in ("saved_insights", "queries", "sends")}
    assert "posthog_actions" in groups
    assert [name for name in groups if len(name) > 17] == []


def test_descriptions_of_settings_use_the_words_of_the_glossary():
    records = [getattr(policies, name) for name in policies.__all__]
    records = [one for one in records if isinstance(one, type) and issubclass(one, BaseModel)]
    odd = []
    for record in [*records, PostHogProjectComponent.get_model_cls()]:
        texts = {name: field.description or "" for name, field in record.model_fields.items()}
        texts["itself"] = (record.__doc__ or "").strip()
        for name, text in texts.items():
            if _NOT.search(text) or (text and not text.endswith((".", ")", "`"))):
                odd.append((record.__name__, name, text))
    assert len(records) > 20
    assert odd == []
