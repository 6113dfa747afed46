"""What is known of a call on several engines: its metadata, its output and its times, at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import timing
from .records import METADATA_KEYS, OLD_NAMES, Metadata, Part
from .tracking import SendTracker

if TYPE_CHECKING:
    from .client import Client


class About:
    """The part of AsyncResult that asks and never waits for results (features AR-13 to AR-28).

    Everything is bare for a single call, and a list in the order of the targets for several.
    """

    _client: Client
    _parts: list[Part]
    _single: bool
    _tracker: SendTracker | None

    if TYPE_CHECKING:

        def done(self) -> bool: ...

        def wait_for_output(self) -> bool: ...

    def _bare(self, values: list[Any]) -> Any:
        """A list with one value for each call, or the bare value of the single one."""
        return values[0] if self._single else values

    def __getattr__(self, name: str) -> Any:
        """The keys of the metadata are attributes: ``ar.started``."""
        if name in METADATA_KEYS or name in OLD_NAMES:
            return self._bare([part.metadata()[name] for part in self._parts])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *METADATA_KEYS})

    def __len__(self) -> int:
        """How many calls; for a map, how many items."""
        return len(self._parts)

    @property
    def msg_ids(self) -> list[str]:
        """One id for each call."""
        return [part.msg_id for part in self._parts]

    @property
    def metadata(self) -> Metadata | list[Metadata]:
        """The metadata of the single call, or a list with that of each."""
        return self._bare([part.metadata() for part in self._parts])  # type: ignore[no-any-return]

    # -- output -------------------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> Any:
        """What was printed: a string, or a list of strings. Waits for the end of output once it is ready."""
        self._complete_output()
        return self._bare([part.text("stdout") for part in self._parts])

    @property
    def stderr(self) -> Any:
        """As ``stdout``, for the error stream."""
        self._complete_output()
        return self._bare([part.text("stderr") for part in self._parts])

    @property
    def outputs(self) -> Any:
        """The display_data contents of each engine."""
        self._complete_output()
        return self._bare([part.displays for part in self._parts])

    @property
    def data(self) -> Any:
        """What the engines have published with ``publish_data``, while they run and afterwards (features DAT-01)."""
        self._complete_output()
        return self._bare([part.data for part in self._parts])

    def _complete_output(self) -> None:
        if self.done():
            self.wait_for_output()

    # -- sending ------------------------------------------------------------------------------------------------------

    @property
    def sent(self) -> bool:
        """Whether the arrays of the call may be changed: at once, unless it was made with ``track`` (features AR-36)."""
        return self._tracker is None or self._tracker.done

    def wait_for_send(self, timeout: float | None = None) -> None:
        """Wait until ``sent``, at most ``timeout`` seconds (None or negative: as long as it takes).

        Raises
        ------
        TimeoutError
            It is not sent in time.
        """
        if self._tracker is None:
            return
        self._client.refuse_io_thread()
        if not self._tracker.wait(timeout):
            raise TimeoutError("Still waiting to be sent")

    #: The name in seed 004.
    wait_on_send = wait_for_send

    # -- times --------------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> int:
        """How many calls (items, for a map) are done."""
        return sum(part.size for part in self._parts if part.done)

    @property
    def elapsed(self) -> float:
        """Seconds from the submission to now, or to the arrival of the last result."""
        return timing.elapsed(self._parts)

    @property
    def serial_time(self) -> float:
        """Seconds that the engines worked, added up: what the calls would take one after the other.

        Raises
        ------
        TimeoutError
            It is not ready.
        """
        self._check_ready()
        return timing.serial_time(self._parts)

    @property
    def wall_time(self) -> float:
        """Seconds from the first submission to the arrival of the last result.

        Raises
        ------
        TimeoutError
            It is not ready.
        """
        self._check_ready()
        return timing.elapsed(self._parts)

    @staticmethod
    def timedelta(
        start: timing.Stamps,
        end: timing.Stamps,
        start_key: Callable[..., Any] = min,
        end_key: Callable[..., Any] = max,
    ) -> float:
        """Seconds between two stamps, or between two of many: ``ar.timedelta(ar.submitted, ar.received)``.

        Parameters
        ----------
        start, end
            Datetimes, or lists of them.
        start_key, end_key
            Choose one of a list; by default the first start and the last end.
        """
        return timing.timedelta(start, end, start_key, end_key)

    def _check_ready(self) -> None:
        if not self.done():
            raise TimeoutError("result not ready")
