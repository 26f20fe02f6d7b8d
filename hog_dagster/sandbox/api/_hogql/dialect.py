"""Reading HogQL: ClickHouse's SQL with dollar names and function names kept as written.

And printing it the way PostHog does.

Facts: PostHog's HogQL printer, as recorded answers show it: operators become functions, one clause
per line.
"""

import re
from itertools import pairwise
from typing import Any

from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import TokenType

from hog_dagster.sandbox.api._insight_math.query_data import UserError

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"[^"]*"|`[^`]*`|(\$[A-Za-z_]\w*)""", re.DOTALL)
_PLACEHOLDER = re.compile(r"""'(?:[^'\\]|\\.|'')*'|\{([A-Za-z_][\w.]*)\}""", re.DOTALL)

#: Before the name of a function, so that sqlglot takes it for one it does not know and keeps name
#: and arguments as written. A parser of our own would not do: what is compiled (sqlglot[c], which
#: dagster-dbt brings) cannot be inherited from.
_OURS = "hogql__"
_OPERATORS = (TokenType.AND, TokenType.OR, TokenType.XOR)
_ENDS = (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.IDENTIFIER, TokenType.VAR)
_ENDS += (TokenType.NUMBER, TokenType.STRING, TokenType.NULL, TokenType.TRUE, TokenType.FALSE)

_BINARY: dict[type[exp.Expr], str] = {
    exp.EQ: "equals",
    exp.NEQ: "notEquals",
    exp.GT: "greater",
    exp.GTE: "greaterOrEquals",
    exp.LT: "less",
    exp.LTE: "lessOrEquals",
    exp.Like: "like",
    exp.ILike: "ilike",
    exp.Add: "plus",
    exp.Sub: "minus",
    exp.Mul: "multiply",
    exp.Div: "divide",
    exp.Mod: "modulo",
}


def parse(text: str, values: dict[str, Any] | None = None) -> exp.Query:
    """The tree of one SELECT."""
    whole = _filled(text, values or {})
    quoted = _QUOTED.sub(lambda m: f"`{m[1]}`" if m[1] else m[0], whole)
    first = (whole.split() or ["<EOF>"])[0]
    if not re.match(r"(?i)^\s*(select|with|\()", whole):
        raise UserError(f"mismatched input '{first}' expecting {{SELECT, WITH, '(', '<'}}")
    try:
        trees = ClickHouse().parse(_kept(quoted))
    except (ParseError, TokenError) as error:
        raise UserError(_complaint(error)) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise UserError(f"mismatched input '{first}' expecting {{SELECT, WITH, '(', '<'}}")
    for call in trees[0].find_all(exp.Anonymous):
        call.set("this", call.name.removeprefix(_OURS))
    return trees[0]


def _kept(text: str) -> str:
    """The text in which sqlglot knows no function but those that have a syntax of their own."""
    known = {*ClickHouse.Parser.FUNCTIONS, *ClickHouse.Parser.FUNCTION_PARSERS}
    known -= {"CAST", "EXISTS", "EXTRACT", "FILTER", "IF", "QUANTILE"}
    tokens = ClickHouse().tokenize(text)
    parts, done, before = [], 0, None
    for token, following in pairwise(tokens):
        operator = token.token_type in _OPERATORS and before in _ENDS
        called = following.token_type is TokenType.L_PAREN
        word = token.token_type is not TokenType.IDENTIFIER and token.text.upper() in known
        if called and word and not operator:
            parts += [text[done : token.start], _OURS]
            done = token.start
        before = token.token_type
    return "".join([*parts, text[done:]])


def _filled(text: str, values: dict[str, Any]) -> str:
    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0]
        if name not in values:
            raise UserError(f"Unresolved placeholder: {{{name}}}")
        return _constant(values[name])

    return _PLACEHOLDER.sub(fill, text)


def source_of(tree: exp.Query) -> exp.Expr | None:
    """What a SELECT reads from."""
    clause = tree.args.get("from_") or tree.args.get("from")
    return clause.this if clause is not None else None


def _constant(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_constant(item) for item in value) + "]"
    if isinstance(value, int | float):
        return str(value)
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _complaint(error: Exception) -> str:
    if isinstance(error, ParseError) and error.errors:
        token = (error.errors[0].get("highlight") or "<EOF>").removeprefix(_OURS)
        return f"mismatched input '{token}' expecting <EOF>"
    return "Query could not be parsed"


def printed(node: exp.Expr) -> str:
    """An expression on one line: what an unnamed column is called."""
    if isinstance(node, exp.Alias):
        return f"{printed(node.this)} AS {node.alias}"
    if isinstance(node, exp.Paren):
        return printed(node.this)
    if isinstance(node, exp.Column):
        return ".".join(part.name for part in node.parts)
    if isinstance(node, exp.Dot):
        return f"{printed(node.this)}.{node.expression.name}"
    if isinstance(node, exp.And | exp.Or):
        name = "and" if isinstance(node, exp.And) else "or"
        return f"{name}({', '.join(printed(part) for part in node.flatten())})"
    if isinstance(node, exp.Not):
        return _negated(node.this)
    for kind, name in _BINARY.items():
        if type(node) is kind:
            return f"{name}({printed(node.this)}, {printed(node.expression)})"
    if isinstance(node, exp.In):
        return _inside(node, "in")
    if isinstance(node, exp.Tuple):
        return f"tuple({_listed(node.expressions)})"
    if isinstance(node, exp.Array):
        return f"[{_listed(node.expressions)}]"
    if isinstance(node, exp.Distinct):
        return f"DISTINCT {_listed(node.expressions)}"
    if isinstance(node, exp.Literal):
        return f"'{node.this}'" if node.is_string else node.this
    if isinstance(node, exp.Star):
        return "*"
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        name = node.this if isinstance(node.this, str) else node.this.name
        return f"{name}({_listed(node.expressions)})"
    if isinstance(node, exp.Ordered):
        return f"{printed(node.this)} {'DESC' if node.args.get('desc') else 'ASC'}"
    return node.sql(dialect="clickhouse")


def _negated(node: exp.Expr) -> str:
    if isinstance(node, exp.In):
        return _inside(node, "notIn")
    if isinstance(node, exp.Like):
        return f"notLike({printed(node.this)}, {printed(node.expression)})"
    return f"not({printed(node)})"


def _inside(node: exp.In, name: str) -> str:
    query = node.args.get("query")
    if query is not None:
        return f"{name}({printed(node.this)}, {query.sql(dialect='clickhouse')})"
    return f"{name}({printed(node.this)}, tuple({_listed(node.expressions)}))"


def _listed(nodes: list[exp.Expr]) -> str:
    return ", ".join(printed(node) for node in nodes)


def pretty(tree: exp.Query, limit: int | None) -> str:
    """The whole query, one clause per line; `limit` is the default that the server put in."""
    if not isinstance(tree, exp.Select) or tree.args.get("with_") or tree.args.get("joins"):
        return tree.sql(dialect="clickhouse", pretty=True)
    parts = ["SELECT\n    " + ",\n    ".join(printed(item) for item in tree.expressions)]
    table = source_of(tree)
    if table is not None:
        text = table.name if isinstance(table, exp.Table) else table.sql(dialect="clickhouse")
        named = f" AS {table.alias}" if table.alias and isinstance(table, exp.Table) else ""
        parts.append(f"FROM\n    {text}{named}")
    for name, clause in (("where", "WHERE"), ("having", "HAVING")):
        if clause == "HAVING" and (group := tree.args.get("group")):
            keys = ",\n    ".join(printed(item) for item in group.expressions)
            parts.append(f"GROUP BY\n    {keys}")
        if tree.args.get(name):
            parts.append(f"{clause}\n    {printed(tree.args[name].this)}")
    if order := tree.args.get("order"):
        keys = ",\n    ".join(printed(item) for item in order.expressions)
        parts.append(f"ORDER BY\n    {keys}")
    if limit is not None:
        parts.append(f"LIMIT {limit}\nOFFSET 0")
    else:
        for name, clause in (("limit", "LIMIT"), ("offset", "OFFSET")):
            if tree.args.get(name):
                parts.append(f"{clause} {tree.args[name].expression.sql()}")
    return "\n".join(parts)
