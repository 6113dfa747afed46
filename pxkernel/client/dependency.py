"""Dependency: the calls that another call waits for, or goes where they went (features DEP-06)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .asyncresult import AsyncResult


class Dependency(set[str]):
    """Message ids, and how the calls must have ended for the dependency to be met.

    Parameters
    ----------
    dependencies
        A message id, an AsyncResult, or an iterable of these; or what ``as_dict`` gives, then the flags are those in it.
    all
        Whether all of the calls count, or one is enough.
    success, failure
        Whether a call that has succeeded, or one that has failed, is as it should be.

    Raises
    ------
    TypeError
        An element is neither a message id nor an AsyncResult.
    ValueError
        Neither success nor failure would do.
    """

    def __init__(self, dependencies: Any = (), all: bool = True, success: bool = True, failure: bool = False):
        if isinstance(dependencies, Mapping):
            fields = dict(dependencies)
            all, success, failure = fields.get("all", all), fields.get("success", success), fields.get("failure", failure)
            dependencies = fields["dependencies"]
        if not (success or failure):
            raise ValueError("Must depend on at least one of successes or failures!")
        super().__init__(message_ids(dependencies))
        self.all = all
        self.success = success
        self.failure = failure

    def _met_by(self, completed: Collection[str], failed: Collection[str] | None, success: bool, failure: bool) -> set[str]:
        return {*(completed if success else ()), *((failed or ()) if failure else ())}

    def check(self, completed: Collection[str], failed: Collection[str] | None = None) -> bool:
        """Whether it is met, given the ids of the calls that have succeeded and of those that have failed."""
        if not self:
            return True
        met = self._met_by(completed, failed, self.success, self.failure)
        return self <= met if self.all else bool(self & met)

    def unreachable(self, completed: Collection[str], failed: Collection[str] | None = None) -> bool:
        """Whether it cannot be met any more, given the ids of the calls that have succeeded and that have failed."""
        if not self:
            return False
        missed = self._met_by(completed, failed, not self.success, not self.failure)
        return bool(self & missed) if self.all else self <= missed

    def as_dict(self) -> dict[str, Any]:
        """Its fields, of which the constructor makes it again."""
        return {"all": self.all, "success": self.success, "failure": self.failure, "dependencies": sorted(self)}


def message_ids(calls: Any) -> list[str]:
    """The message ids of a call or of an iterable of calls, each an AsyncResult or a message id.

    Raises
    ------
    TypeError
        One is neither.
    """
    if isinstance(calls, str):
        return [calls]
    if isinstance(calls, AsyncResult):
        calls._submit_rest()
        return calls.msg_ids
    if not isinstance(calls, Iterable):
        raise TypeError(f"Dependencies may only be message ids and AsyncResults, not {calls!r}")
    return [msg_id for call in calls for msg_id in message_ids(call)]


def as_dependency(value: Any) -> Dependency | None:
    """What the flags ``after`` and ``follow`` take: None, a Dependency, or all that its constructor takes.

    Raises
    ------
    ValueError
        It is none of these.
    """
    if value is None or isinstance(value, Dependency):
        return value
    try:
        return Dependency(value)
    except (TypeError, KeyError):
        raise ValueError(f"Invalid dependency: {value!r}") from None
