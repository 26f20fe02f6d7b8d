"""Formulas of trends, such as ``A/B``: letters are series, division by zero is zero.

Facts: a recorded answer; the operators that PostHog's formulas have.
"""

import ast
import operator
from collections.abc import Callable, Sequence

from hog_dagster.sandbox.api._insight_math.query_data import UserError

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.Div: lambda left, right: left / right if right else 0.0,
    ast.Mod: lambda left, right: left % right if right else 0.0,
}


def evaluate(formula: str, series: Sequence[Sequence[float]]) -> list[float]:
    """The formula over each position of the series: A is the first one."""
    try:
        tree = ast.parse(formula.strip().replace("^", "**"), mode="eval").body
    except SyntaxError:
        raise UserError(f"Formula was not a valid expression: {formula}") from None
    length = max((len(values) for values in series), default=0)
    return [_value(tree, formula, series, index) for index in range(length)]


def _value(node: ast.expr, formula: str, series: Sequence[Sequence[float]], index: int) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.Name):
        place = ord(node.id.upper()) - ord("A") if len(node.id) == 1 else -1
        if not 0 <= place < len(series):
            raise UserError(f"Formula {formula} names a series that does not exist: {node.id}")
        return float(series[place][index])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, formula, series, index)
    operate = _OPERATORS.get(type(node.op)) if isinstance(node, ast.BinOp) else None
    if isinstance(node, ast.BinOp) and operate is not None:
        left = _value(node.left, formula, series, index)
        return operate(left, _value(node.right, formula, series, index))
    raise UserError(f"Formula was not a valid expression: {formula}")
