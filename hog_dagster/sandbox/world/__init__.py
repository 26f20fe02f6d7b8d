"""One project of the sandbox: its stores, rows and builders, its clock, its file. No HTTP."""

from hog_dagster.sandbox.world._analytics_model import (
    Activity,
    Calculation,
    Event,
    Group,
    GroupType,
    Insight,
    PersonRow,
    Result,
    UsageMetric,
)
from hog_dagster.sandbox.world._behaviour import GENERATIONS, SETTINGS, Generation
from hog_dagster.sandbox.world._clock import Clock, FollowingClock
from hog_dagster.sandbox.world._event_stream import EventStream
from hog_dagster.sandbox.world._execution import advance_run, repair_run, send_all, start_execution
from hog_dagster.sandbox.world._function_templates import (
    FUNCTION_TEMPLATES,
    STEP_TEMPLATES,
    find_template,
    secret_inputs,
)
from hog_dagster.sandbox.world._graphs import compile_graph, derive_trigger, shown_action, step
from hog_dagster.sandbox.world._hog import (
    HogError,
    compile_filters,
    compile_hog,
    compile_inputs,
    compile_template,
    reserved_functions,
    thrown,
)
from hog_dagster.sandbox.world._ids import is_uuid, uuid7_time
from hog_dagster.sandbox.world._logs import LOG_RETENTION, LogRow, from_micros, ilike, micros
from hog_dagster.sandbox.world._messaging_model import MAIL_SETTINGS
from hog_dagster.sandbox.world._messaging_model import OUT as OUT
from hog_dagster.sandbox.world._messaging_model import TIERS as TIERS
from hog_dagster.sandbox.world._messaging_model import BatchExport as BatchExport
from hog_dagster.sandbox.world._messaging_model import BatchExportRun as BatchExportRun
from hog_dagster.sandbox.world._messaging_model import Category as Category
from hog_dagster.sandbox.world._messaging_model import Preference as Preference
from hog_dagster.sandbox.world._messaging_model import Suppression as Suppression
from hog_dagster.sandbox.world._model import (
    AssetRow,
    BatchJob,
    BatchSend,
    Execution,
    FunctionSend,
    HogFunction,
    Person,
    Replay,
    RerunJob,
    Revision,
    Run,
    RunRow,
    Schedule,
    SentMessage,
    TestSend,
    User,
    Workflow,
)
from hog_dagster.sandbox.world._run_rows import (
    FLOW,
    FUNCTION,
    WRAPPERS,
    Collapsed,
    collapse,
    source_of,
)
from hog_dagster.sandbox.world._seed import populate
from hog_dagster.sandbox.world._state import load_state, save_state
from hog_dagster.sandbox.world._steps import sends_email
from hog_dagster.sandbox.world._world import World

__all__ = [
    "FLOW",
    "FUNCTION",
    "FUNCTION_TEMPLATES",
    "GENERATIONS",
    "LOG_RETENTION",
    "MAIL_SETTINGS",
    "OUT",
    "SETTINGS",
    "STEP_TEMPLATES",
    "TIERS",
    "WRAPPERS",
    "Activity",
    "AssetRow",
    "BatchExport",
    "BatchExportRun",
    "BatchJob",
    "BatchSend",
    "Calculation",
    "Category",
    "Clock",
    "Collapsed",
    "Event",
    "EventStream",
    "Execution",
    "FollowingClock",
    "FunctionSend",
    "Generation",
    "Group",
    "GroupType",
    "HogError",
    "HogFunction",
    "Insight",
    "LogRow",
    "Person",
    "PersonRow",
    "Preference",
    "Replay",
    "RerunJob",
    "Result",
    "Revision",
    "Run",
    "RunRow",
    "Schedule",
    "SentMessage",
    "Suppression",
    "TestSend",
    "UsageMetric",
    "User",
    "Workflow",
    "World",
    "advance_run",
    "collapse",
    "compile_filters",
    "compile_graph",
    "compile_hog",
    "compile_inputs",
    "compile_template",
    "derive_trigger",
    "find_template",
    "from_micros",
    "ilike",
    "is_uuid",
    "load_state",
    "micros",
    "populate",
    "repair_run",
    "reserved_functions",
    "save_state",
    "secret_inputs",
    "send_all",
    "sends_email",
    "shown_action",
    "source_of",
    "start_execution",
    "step",
    "thrown",
    "uuid7_time",
]
