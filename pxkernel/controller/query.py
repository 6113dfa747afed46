"""Queries over records, in the language of MongoDB (features HUB-04, HUB-05, HUB-11).

A query maps fields to conditions, all of which must hold. A condition is a value that the field must equal, None
included, or a dict of operators: ``{"completed": {"$lt": t}, "label": {"$glob": "run-*"}}``. ``$and``, ``$or`` and
``$nor`` stand where a field does, with a list of queries. A comparison with something of another type does not hold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from typing import Any

from .entries import FIELDS, PAYLOADS, Entry

Test = Callable[[Any], bool]
Matcher = Callable[[Entry], bool]


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def operator(operand: Any) -> Test:
        def test(value: Any) -> bool:
            try:
                return value is not None and compare(value, operand)
            except TypeError:
                return False

        return test

    return operator


def _collection(operand: Any, name: str) -> Collection[Any]:
    if not isinstance(operand, list | tuple):
        raise TypeError(f"{name} needs a list, not {operand!r}")
    return operand


def _in(operand: Any) -> Test:
    values = _collection(operand, "$in")
    return lambda value: value in values


def _nin(operand: Any) -> Test:
    values = _collection(operand, "$nin")
    return lambda value: value not in values


def _all(operand: Any) -> Test:
    values = _collection(operand, "$all")
    return lambda value: all(wanted in (value if isinstance(value, list) else [value]) for wanted in values)


def _mod(operand: Any) -> Test:
    numbers = _collection(operand, "$mod")
    if len(numbers) != 2 or not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(f"$mod needs a divisor and a remainder, not {operand!r}")
    divisor, remainder = numbers
    if not divisor:
        raise ValueError("$mod needs a divisor other than 0")
    return lambda value: isinstance(value, int | float) and value % divisor == remainder


def _glob(operand: Any) -> Test:
    if not isinstance(operand, str):
        raise TypeError(f"$glob needs a pattern, not {operand!r}")
    return lambda value: isinstance(value, str) and fnmatchcase(value, operand)


def _not(operand: Any) -> Test:
    test = _condition(operand)
    return lambda value: not test(value)


OPERATORS: dict[str, Callable[[Any], Test]] = {
    "$eq": lambda operand: lambda value: value == operand,
    "$ne": lambda operand: lambda value: value != operand,
    "$lt": _ordered(lambda value, operand: value < operand),
    "$lte": _ordered(lambda value, operand: value <= operand),
    "$gt": _ordered(lambda value, operand: value > operand),
    "$gte": _ordered(lambda value, operand: value >= operand),
    "$in": _in,
    "$nin": _nin,
    "$all": _all,
    "$mod": _mod,
    "$exists": lambda operand: lambda value: (value is not None) == bool(operand),
    "$glob": _glob,
    "$not": _not,
}
#: They stand in the place of a field: what a list of results must be.
LOGICAL: dict[str, Callable[[Iterable[bool]], bool]] = {
    "$and": all,
    "$or": any,
    "$nor": lambda results: not any(results),
}


def _condition(condition: Any) -> Test:
    if not isinstance(condition, dict) or not any(str(key).startswith("$") for key in condition):
        return OPERATORS["$eq"](condition)
    for name in condition:
        if name not in OPERATORS:
            raise KeyError(f"no such operator: {name!r}; there are {sorted(OPERATORS)}")
    tests = [OPERATORS[name](operand) for name, operand in condition.items()]
    return lambda value: all(test(value) for test in tests)


def matcher(query: dict[str, Any]) -> Matcher:
    """What tells whether an entry matches ``query``.

    Raises
    ------
    KeyError
        It names a field or an operator that there is not.
    TypeError, ValueError
        The operand of an operator is of the wrong kind.
    """
    if not isinstance(query, dict):
        raise TypeError(f"a query must be a dict, not {query!r}")
    tests: list[Matcher] = []
    for name, condition in query.items():
        if name in LOGICAL:
            tests.append(_logical(LOGICAL[name], [matcher(part) for part in _collection(condition, name)]))
        elif name not in FIELDS or name in PAYLOADS:
            raise KeyError(f"no such field: {name!r}; there are {sorted(set(FIELDS) - PAYLOADS)}")
        else:
            tests.append(_field(FIELDS[name], _condition(condition)))
    return lambda entry: all(test(entry) for test in tests)


def _logical(combine: Callable[[Iterable[bool]], bool], matchers: list[Matcher]) -> Matcher:
    return lambda entry: combine(match(entry) for match in matchers)


def _field(read: Callable[[Entry], Any], test: Test) -> Matcher:
    return lambda entry: test(read(entry))


def wanted_fields(keys: Collection[str] | None) -> list[str]:
    """The fields that ``keys`` asks for, ``msg_id`` always; None means all that are JSON.

    Raises
    ------
    KeyError
        There is no such field.
    """
    if keys is None:
        return [name for name in FIELDS if name not in PAYLOADS]
    for key in keys:
        if key not in FIELDS:
            raise KeyError(f"no such field: {key!r}; there are {sorted(FIELDS)}")
    return list(dict.fromkeys(["msg_id", *keys]))
