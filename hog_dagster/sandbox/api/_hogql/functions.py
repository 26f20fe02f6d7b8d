"""HogQL's functions in DuckDB: which there are, under which name, and macros for those that DuckDB
lacks.
"""

from collections.abc import Mapping
from difflib import get_close_matches

__all__ = ["FUNCTIONS", "MACROS", "unsupported"]

_T = "CAST(x AS TIMESTAMPTZ)"

_DEFINITIONS: tuple[str, ...] = (
    "CREATE MACRO ch_todate(x) AS CAST(x AS DATE)",
    "CREATE MACRO ch_tostring(x) AS CAST(x AS VARCHAR)",
    "CREATE MACRO ch_tofloat(x) AS TRY_CAST(x AS DOUBLE)",
    "CREATE MACRO ch_toint(x) AS TRY_CAST(x AS BIGINT)",
    "CREATE MACRO ch_tostartofminute(x) AS date_trunc('minute', x)",
    "CREATE MACRO ch_tostartofhour(x) AS date_trunc('hour', x)",
    "CREATE MACRO ch_tostartofday(x) AS date_trunc('day', x)",
    (
        "CREATE MACRO ch_tostartofweek(x) AS"
        " CAST(date_trunc('week', x + INTERVAL 1 DAY) - INTERVAL 1 DAY AS DATE)"
    ),
    "CREATE MACRO ch_tostartofmonth(x) AS CAST(date_trunc('month', x) AS DATE)",
    "CREATE MACRO ch_tostartofinterval(x, i) AS time_bucket(i, x)",
    f"CREATE MACRO ch_tounixtimestamp(x) AS CAST(floor(epoch({_T})) AS BIGINT)",
    f"CREATE MACRO ch_tounixmilli(x) AS epoch_ms({_T})",
    f"CREATE MACRO ch_tounixmicro(x) AS epoch_us({_T})",
    "CREATE MACRO ch_frommicro(x) AS make_timestamptz(CAST(x AS BIGINT))",
    "CREATE MACRO ch_frommilli(x) AS make_timestamptz(CAST(x AS BIGINT) * 1000)",
    "CREATE MACRO ch_countif(c) AS count(*) FILTER (WHERE c)",
    "CREATE MACRO ch_sumif(x, c) AS sum(x) FILTER (WHERE c)",
    "CREATE MACRO ch_avgif(x, c) AS avg(x) FILTER (WHERE c)",
    "CREATE MACRO ch_minif(x, c) AS min(x) FILTER (WHERE c)",
    "CREATE MACRO ch_maxif(x, c) AS max(x) FILTER (WHERE c)",
    "CREATE MACRO ch_uniqif(x, c) AS count(DISTINCT x) FILTER (WHERE c)",
    "CREATE MACRO ch_argmaxif(x, y, c) AS arg_max(x, y) FILTER (WHERE c)",
    "CREATE MACRO ch_empty(x) AS x IS NULL OR length(x) = 0",
    "CREATE MACRO ch_notempty(x) AS x IS NOT NULL AND length(x) > 0",
    "CREATE MACRO ch_match(x, p) AS regexp_matches(x, p)",
    "CREATE MACRO ch_json(x, k) AS json_extract_string(x, '$.\"' || k || '\"')",
    (
        "CREATE MACRO ch_jsonint(x, k) AS"
        " TRY_CAST(json_extract_string(x, '$.\"' || k || '\"') AS BIGINT)"
    ),
    (
        "CREATE MACRO ch_jsonfloat(x, k) AS"
        " TRY_CAST(json_extract_string(x, '$.\"' || k || '\"') AS DOUBLE)"
    ),
    "CREATE MACRO ch_position(x, y) AS strpos(x, y)",
    "CREATE MACRO ch_if(c, a, b) AS CASE WHEN c THEN a ELSE b END",
    "CREATE MACRO ch_days(n) AS to_days(CAST(n AS INTEGER))",
    "CREATE MACRO ch_not(x) AS NOT x",
)

#: A macro's name -> how to make it.
MACROS: Mapping[str, str] = {
    text.removeprefix("CREATE MACRO ").split("(")[0]: text for text in _DEFINITIONS
}

#: HogQL's name in lower case -> DuckDB's name or macro.
FUNCTIONS: Mapping[str, str] = {
    **{name: name for name in ("count", "sum", "avg", "min", "max", "median", "now", "lower")},
    **{name: name for name in ("upper", "length", "concat", "substring", "trim", "coalesce")},
    **{name: name for name in ("ifnull", "nullif", "greatest", "least", "abs", "round", "floor")},
    **{name: name for name in ("row_number", "rank", "dense_rank", "lag", "lead", "first_value")},
    **{name: name for name in ("left", "right", "replace", "starts_with", "sqrt", "exp", "ln")},
    "ceil": "ceil",
    "any": "any_value",
    "anylast": "last",
    "argmax": "arg_max",
    "argmin": "arg_min",
    "argmaxif": "ch_argmaxif",
    "arrayjoin": "unnest",
    "countdistinct": "count",
    "countif": "ch_countif",
    "sumif": "ch_sumif",
    "avgif": "ch_avgif",
    "minif": "ch_minif",
    "maxif": "ch_maxif",
    "uniq": "count",
    "uniqexact": "count",
    "uniqif": "ch_uniqif",
    "grouparray": "list",
    "groupuniqarray": "list",
    "quantile": "quantile_cont",
    "has": "list_contains",
    "if": "ch_if",
    "multiif": "case",
    "not": "ch_not",
    "tuple": "row",
    "empty": "ch_empty",
    "notempty": "ch_notempty",
    "today": "today",
    "yesterday": "yesterday",
    "match": "ch_match",
    "startswith": "starts_with",
    "endswith": "ends_with",
    "replaceall": "replace",
    "replaceone": "replace",
    "position": "ch_position",
    "jsonextractstring": "ch_json",
    "jsonextractraw": "ch_json",
    "jsonextractint": "ch_jsonint",
    "jsonextractfloat": "ch_jsonfloat",
    "todate": "ch_todate",
    "todatetime": "todatetime",
    "todatetime64": "todatetime64",
    "parsedatetimebesteffort": "todatetime",
    "tostring": "ch_tostring",
    "tofloat": "ch_tofloat",
    "tofloat64": "ch_tofloat",
    "toint": "ch_toint",
    "toint64": "ch_toint",
    "touint64": "ch_toint",
    "touuid": "ch_tostring",
    "totimezone": "timezone",
    "tostartofminute": "ch_tostartofminute",
    "tostartofhour": "ch_tostartofhour",
    "tostartofday": "ch_tostartofday",
    "tostartofweek": "ch_tostartofweek",
    "tostartofmonth": "ch_tostartofmonth",
    "tostartofinterval": "ch_tostartofinterval",
    "tounixtimestamp": "ch_tounixtimestamp",
    "tounixtimestamp64milli": "ch_tounixmilli",
    "tounixtimestamp64micro": "ch_tounixmicro",
    "fromunixtimestamp64milli": "ch_frommilli",
    "fromunixtimestamp64micro": "ch_frommicro",
    "tointervalday": "ch_days",
    "datediff": "date_diff",
    "datetrunc": "date_trunc",
    "formatdatetime": "strftime",
}

#: Names as HogQL spells them, where that is not in lower case.
_SPELLED = """
ifNull nullIf startsWith endsWith anyLast argMax argMin argMaxIf arrayJoin countDistinct countIf
sumIf avgIf minIf maxIf uniqExact uniqIf groupArray groupUniqArray multiIf notEmpty replaceAll
replaceOne JSONExtractString JSONExtractRaw JSONExtractInt JSONExtractFloat toDate toDateTime
toDateTime64 parseDateTimeBestEffort toString toFloat toFloat64 toInt toInt64 toUInt64 toUUID
toTimeZone toStartOfMinute toStartOfHour toStartOfDay toStartOfWeek toStartOfMonth
toStartOfInterval toUnixTimestamp toUnixTimestamp64Milli toUnixTimestamp64Micro
fromUnixTimestamp64Milli fromUnixTimestamp64Micro toIntervalDay dateDiff dateTrunc formatDateTime
"""
_NAMES = {**{name: name for name in FUNCTIONS}, **{name.lower(): name for name in _SPELLED.split()}}


def unsupported(name: str, without: str = "") -> str:
    """What the server says of a function that it does not have, with the name that is nearest.

    Args:
        name: as the query spells it.
        without: a function that this server does not have although the table does.
    """
    known = [spelled for spelled in _NAMES.values() if spelled.lower() != without.lower()]
    near = get_close_matches(name, known, 1)
    hint = f". Perhaps you meant '{near[0]}(...)'?" if near else ""
    return f"Unsupported function call '{name}(...)'{hint}"
