"""Targets: what may stand for engines, and which it means (features RC-06 to RC-10, VW-01, DV-22)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import index
from typing import SupportsIndex

from ..errors import NoEnginesRegistered

Targets = SupportsIndex | str | slice | Iterable[SupportsIndex] | None


def chosen(targets: Targets, ids: Sequence[int]) -> tuple[list[int], bool]:
    """What ``targets`` means when the engines are ``ids``.

    Returns
    -------
    list of int, bool
        Ids, of which those that ``targets`` names itself need not exist; whether results come bare instead of in a list.

    Raises
    ------
    TypeError
        It is nothing that can mean engines.
    NoEnginesRegistered
        It means all engines and there are none.
    """
    if type(targets) is int:  # as most are
        return [ids[targets] if -len(ids) <= targets < 0 else targets], True
    if isinstance(targets, str) and targets != "all":
        raise TypeError(f"{targets!r} not valid str target, must be 'all'")
    if isinstance(targets, str) or targets is None:
        targets = slice(None)
    if isinstance(targets, slice):
        if not ids:
            raise NoEnginesRegistered(
                "This operation requires engines. Try client.wait_for_engines(n) to wait for engines to register."
            )
        return list(ids[targets]), False
    if isinstance(targets, int) or not isinstance(targets, Iterable) and isinstance(targets, SupportsIndex):
        engine = engine_id(targets)
        return [ids[engine] if -len(ids) <= engine < 0 else engine], True
    # The order of a set would be that of the results.
    if isinstance(targets, set | frozenset | Mapping | bytes) or not isinstance(targets, Iterable):
        raise TypeError(f"targets must be an engine id, a slice, a list of ids or 'all', not {targets!r}")
    return [engine_id(target) for target in targets], False


def engine_id(value: SupportsIndex) -> int:
    """``value`` as the id of an engine, one of numpy as well; raises TypeError if it is no integer."""
    # A protocol is slow to ask, and nearly every id is an int.
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"the id of an engine is an integer, not {value!r}")
    return index(value)
