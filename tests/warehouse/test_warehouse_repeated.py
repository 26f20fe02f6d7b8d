"""Columns of one value are what pyarrow makes of it, and loading rows imports no pandas."""

import subprocess
import sys
from datetime import UTC, timedelta, timezone
from textwrap import dedent

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from hog_dagster.warehouse._loading.repeated import listed, repeated

TIME = pa.timestamp("us", "UTC")
VALUES = st.one_of(
    st.tuples(st.text(), st.just(pa.string())),
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.sampled_from([pa.int64()])),
    st.tuples(st.integers(-100, 100), st.sampled_from([pa.int64(), pa.int32(), pa.float64()])),
    st.tuples(st.datetimes(timezones=st.just(UTC)), st.just(TIME)),
    st.tuples(st.datetimes(timezones=st.just(timezone(timedelta(hours=3)))), st.just(TIME)),
    st.tuples(st.none(), st.sampled_from([pa.string(), pa.int64(), TIME])),
    st.tuples(st.booleans(), st.just(pa.bool_())),
)


@settings(deadline=None)
@given(VALUES, st.integers(0, 20))
def test_a_column_of_one_value_is_what_pyarrow_makes_of_it(value, rows):
    column = repeated(value[0], value[1], rows)
    column.validate(full=True)
    assert column.equals(pa.array([value[0]] * rows, value[1]))


@settings(deadline=None)
@given(st.lists(st.text(), max_size=10))
def test_a_list_of_values_is_what_pyarrow_makes_of_it(values):
    assert listed(values, pa.string()).equals(pa.array(values, pa.string()))


@pytest.mark.parametrize(("value", "kind"), [("a", pa.int64()), (2**63, pa.int64()), (1, TIME)])
def test_a_value_of_another_type_is_not_bent_into_it(value, kind):
    try:
        wanted = pa.array([value], kind)
    except (pa.ArrowException, TypeError, OverflowError) as error:
        with pytest.raises(type(error)):
            repeated(value, kind, 1)
    else:
        assert repeated(value, kind, 1).equals(wanted)


@pytest.mark.skipif(
    Version(duckdb.__version__) < Version("2"), reason="DuckDB 1.4 imports pandas itself"
)
def test_log_rows_land_without_pandas(tmp_path):
    code = """
        import sys
        import pyarrow as pa
        from datetime import UTC, date, datetime
        from functools import partial
        from hog_dagster.assets import _logs as logs
        from hog_dagster.assets._workflow_tables import WORKFLOW_LOGS
        from hog_dagster.posthog._services.log_batches import batches
        from hog_dagster.posthog.models.telemetry import LogRow
        from hog_dagster.warehouse import DuckDB, Window
        rows = [LogRow("w", "i", "2026-05-10T00:00:00Z", "INFO", "to [Person:1|Ada] at a@x.io")]
        lines = {name: column for batch in batches([rows])
                 for name, column in zip(batch.schema.names, batch.columns)}
        lines |= {"source_id": lines.pop("log_source_id"), "batch_job_id": lines["level"]}
        loaded = logs._finished(WORKFLOW_LOGS, "workflow_id", 1, "mask", lines)
        house = DuckDB(sys.argv[1])
        house.replace(WORKFLOW_LOGS, [loaded], window=Window.day(date(2026, 5, 10)),
                      scope={"project_id": 1, "workflow_id": ["v", "w"]})
        assert house.count(WORKFLOW_LOGS) == 1
        print("pandas" in sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(code), str(tmp_path / "w.duckdb")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
