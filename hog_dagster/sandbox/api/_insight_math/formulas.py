"""Formulas of trends, such as ``A/B``: letters are series, division by zero is zero.

Facts: a recorded answer; the operators that PostHog's formulas have.
"""

import ast
from collections.abc import Sequence

from hog_dagster.sandbox.api._insight_math.query_data import UserError

__all__ = ["evaluate"]


def evaluate(formula: str, series: Sequence[Sequence[float]]) -> list[float]:
    """The formula over each position of the series: A is the first one.

    Raises:
        UserError: the formula cannot be read, or names a series that is not there.
    """
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
    if isinstance(node, ast.BinOp):
        left = _value(node.left, formula, series, index)
        right = _value(node.right, formula, series, index)
        return _operate(node.op, left, right)
    raise UserError(f"Formula was not a valid expression: {formula}")


def _operate(operator: ast.operator, left: float, right: float) -> float:
    if isinstance(operator, ast.Add):
        return left + right
    if isinstance(operator, ast.Sub):
        return left - right
    if isinstance(operator, ast.Mult):
        return left * right
    if isinstance(operator, ast.Div | ast.Mod):
        if right == 0:
            return 0.0
        return left / right if isinstance(operator, ast.Div) else left % right
    if isinstance(operator, ast.Pow):
        return left**right
    raise UserError("Operator not allowed in a formula")
