"""HogQL's functions in DuckDB: which there are, under which name, and macros for those that DuckDB
lacks.
"""

from collections.abc import Mapping
from difflib import get_close_matches

_T = "CAST(x AS TIMESTAMPTZ)"

_DEFINITIONS: tuple[str, ...] = (
    "ch_todate(x) AS CAST(x AS DATE)",
    "ch_tostring(x) AS CAST(x AS VARCHAR)",
    "ch_tofloat(x) AS TRY_CAST(x AS DOUBLE)",
    "ch_toint(x) AS TRY_CAST(x AS BIGINT)",
    "ch_tostartofminute(x) AS date_trunc('minute', x)",
    "ch_tostartofhour(x) AS date_trunc('hour', x)",
    "ch_tostartofday(x) AS date_trunc('day', x)",
    (
        "ch_tostartofweek(x) AS"
        " CAST(date_trunc('week', x + INTERVAL 1 DAY) - INTERVAL 1 DAY AS DATE)"
    ),
    "ch_tostartofmonth(x) AS CAST(date_trunc('month', x) AS DATE)",
    "ch_tostartofinterval(x, i) AS time_bucket(i, x)",
    f"ch_tounixtimestamp(x) AS CAST(floor(epoch({_T})) AS BIGINT)",
    f"ch_tounixmilli(x) AS epoch_ms({_T})",
    f"ch_tounixmicro(x) AS epoch_us({_T})",
    "ch_frommicro(x) AS make_timestamptz(CAST(x AS BIGINT))",
    "ch_frommilli(x) AS make_timestamptz(CAST(x AS BIGINT) * 1000)",
    "ch_countif(c) AS count(*) FILTER (WHERE c)",
    "ch_sumif(x, c) AS sum(x) FILTER (WHERE c)",
    "ch_avgif(x, c) AS avg(x) FILTER (WHERE c)",
    "ch_minif(x, c) AS min(x) FILTER (WHERE c)",
    "ch_maxif(x, c) AS max(x) FILTER (WHERE c)",
    "ch_uniqif(x, c) AS count(DISTINCT x) FILTER (WHERE c)",
    "ch_argmaxif(x, y, c) AS arg_max(x, y) FILTER (WHERE c)",
    "ch_empty(x) AS x IS NULL OR length(x) = 0",
    "ch_notempty(x) AS x IS NOT NULL AND length(x) > 0",
    "ch_match(x, p) AS regexp_matches(x, p)",
    "ch_json(x, k) AS json_extract_string(x, '$.\"' || k || '\"')",
    ("ch_jsonint(x, k) AS TRY_CAST(json_extract_string(x, '$.\"' || k || '\"') AS BIGINT)"),
    ("ch_jsonfloat(x, k) AS TRY_CAST(json_extract_string(x, '$.\"' || k || '\"') AS DOUBLE)"),
    "ch_position(x, y) AS strpos(x, y)",
    "ch_if(c, a, b) AS CASE WHEN c THEN a ELSE b END",
    "ch_days(n) AS to_days(CAST(n AS INTEGER))",
    "ch_not(x) AS NOT x",
)

MACROS: tuple[str, ...] = tuple(f"CREATE MACRO {text}" for text in _DEFINITIONS)

#: HogQL's functions as HogQL spells them, those that DuckDB calls alike, but for capitals.
_ALIKE = """
count sum avg min max median now lower upper length concat substring trim coalesce ifNull nullIf
greatest least abs round floor row_number rank dense_rank lag lead first_value left right replace
starts_with sqrt exp ln ceil today yesterday toDateTime toDateTime64
"""
#: Others, each with DuckDB's name or macro.
_RENAMED = """
any:any_value anyLast:last argMax:arg_max argMin:arg_min argMaxIf:ch_argmaxif arrayJoin:unnest
countDistinct:count countIf:ch_countif sumIf:ch_sumif avgIf:ch_avgif minIf:ch_minif maxIf:ch_maxif
uniq:count uniqExact:count uniqIf:ch_uniqif groupArray:list groupUniqArray:list
quantile:quantile_cont has:list_contains if:ch_if multiIf:case not:ch_not tuple:row empty:ch_empty
notEmpty:ch_notempty match:ch_match startsWith:starts_with endsWith:ends_with replaceAll:replace
replaceOne:replace position:ch_position JSONExtractString:ch_json JSONExtractRaw:ch_json
JSONExtractInt:ch_jsonint JSONExtractFloat:ch_jsonfloat toDate:ch_todate
parseDateTimeBestEffort:todatetime toString:ch_tostring toFloat:ch_tofloat toFloat64:ch_tofloat
toInt:ch_toint toInt64:ch_toint toUInt64:ch_toint toUUID:ch_tostring toTimeZone:timezone
toStartOfMinute:ch_tostartofminute toStartOfHour:ch_tostartofhour toStartOfDay:ch_tostartofday
toStartOfWeek:ch_tostartofweek toStartOfMonth:ch_tostartofmonth
toStartOfInterval:ch_tostartofinterval toUnixTimestamp:ch_tounixtimestamp
toUnixTimestamp64Milli:ch_tounixmilli toUnixTimestamp64Micro:ch_tounixmicro
fromUnixTimestamp64Milli:ch_frommilli fromUnixTimestamp64Micro:ch_frommicro toIntervalDay:ch_days
dateDiff:date_diff dateTrunc:date_trunc formatDateTime:strftime
"""
_PAIRS = [(name, name.lower()) for name in _ALIKE.split()]
_PAIRS += [(name, other) for name, _, other in (one.partition(":") for one in _RENAMED.split())]
#: HogQL's name in lower case -> DuckDB's name or macro.
FUNCTIONS: Mapping[str, str] = {name.lower(): other for name, other in _PAIRS}


def unsupported(name: str, without: str = "") -> str:
    """What the server says of a function that it does not have, with the name that is nearest.

    `without` is a function that this server does not have although the table does.
    """
    known = [spelled for spelled, _ in _PAIRS if spelled.lower() != without.lower()]
    near = get_close_matches(name, known, 1)
    hint = f". Perhaps you meant '{near[0]}(...)'?" if near else ""
    return f"Unsupported function call '{name}(...)'{hint}"
