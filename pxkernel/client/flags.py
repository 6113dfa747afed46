"""The flags of a view: how the calls go that are made through it (features VW-01 to VW-03)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from .targets import Targets


#: What is longer, in seconds, is as good as for ever, and more than a system can wait.
LONGEST = 1e8


class Flags:
    """What View inherits; what the flags mean is said there. A subclass adds its own names to ``_flags``."""

    #: The attributes that ``set_flags`` and ``temp_flags`` take.
    _flags: ClassVar[frozenset[str]] = frozenset({"block", "label", "targets", "time_limit", "track"})

    def __init__(self, targets: Targets, block: bool):
        self.targets = targets
        self.block = block
        self.track = False
        self.label: str | None = None
        self._time_limit: float | None = None

    @property
    def time_limit(self) -> float | None:
        return self._time_limit

    @time_limit.setter
    def time_limit(self, value: float | None) -> None:
        self._time_limit = seconds(value, "time_limit") or None

    def set_flags(self, **flags: Any) -> Self:
        """Set several flags at once (features VW-02).

        Returns
        -------
        This view.

        Raises
        ------
        KeyError
            There is no such flag; nothing is set.
        """
        for name in flags:
            if name not in self._flags:
                raise KeyError(f"Invalid name: {name!r}, the flags are {sorted(self._flags)}")
        for name, value in flags.items():
            setattr(self, name, value)
        return self

    @contextmanager
    def temp_flags(self, **flags: Any) -> Iterator[Self]:
        """``with view.temp_flags(block=True):``, set flags for a while (features VW-03).

        At the end all flags are what they were before, also those that were changed inside.

        Raises
        ------
        KeyError
            There is no such flag; nothing is set.
        """
        before = {name: getattr(self, name) for name in self._flags}
        try:
            yield self.set_flags(**flags)
        finally:
            self.set_flags(**before)


def seconds(value: float | None, name: str) -> float:
    """A number of seconds; 0 for None, and for what is as good as for ever.

    Raises
    ------
    TypeError, ValueError
        It is no number, or a negative one; the text begins with ``name``.
    """
    if not (value is None or isinstance(value, Real)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if value is not None and not value >= 0:
        raise ValueError(f"Invalid {name}: {value}")
    return 0.0 if value is None or value > LONGEST else float(value)
