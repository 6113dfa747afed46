"""What arrives for one call: the half of AsyncResult to which the I/O thread delivers, and waiting for it.

One call has several parts, one for each engine. A result that was split or joined shares its parts with others, and
follows the one to which the client delivers.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..errors import PxkernelError, RemoteError, TaskAborted, composite_error
from ..protocol import here
from .deadlines import deadline
from .display import LiveOutput
from .hints import add_name_hint
from .outputs import interactive
from .prompts import answer
from .records import Part

if TYPE_CHECKING:
    from .client import Client

#: How long the beginning of a line waits for its rest before it is shown, in seconds.
HOLD = 0.3
#: A wait is divided into waits of so many seconds: Python forgets a Ctrl-C that comes just before one until it ends.
LONGEST_WAIT = 0.5
#: How long output may take after the last reply, in seconds: its end is announced, this is for engines that vanish.
OUTPUT_TIMEOUT = 10.0


#: The states of a Future that is not done.
_OPEN = frozenset({"PENDING", "RUNNING"})
_CANCELLED = frozenset({"CANCELLED", "CANCELLED_AND_NOTIFIED"})


class Arrivals(Future[Any]):
    """A Future that is done when every part is; until then it is pending, whatever the engines do.

    Parameters
    ----------
    parts
        What it waits for.
    fname
        The name of the function that was called, for texts.
    single
        Whether the results are bare: there is one part, and nobody asked for a list.
    """

    def __init__(self, client: Client, parts: Sequence[Part], fname: str, single: bool):
        super().__init__()
        self._client = client
        self._parts = list(parts)
        self._fname = fname
        self._single = single
        #: The ids of the parts that have no reply, and of those whose output is not complete.
        self._waiting = {part.msg_id for part in self._parts}
        self._unsettled = set(self._waiting)
        #: The parts that are done, in the order in which they were.
        self._finished: list[Part] = []
        self._live = LiveOutput(self._parts)
        #: Questions of running code that have not been put to the user: (part, content of the input_request).
        self._prompts: deque[tuple[Part, bytes]] = deque()
        #: Called in the I/O thread after every change.
        self._listeners: list[Callable[[], None]] = []
        #: Other results with the same parts, by the id of the part.
        self._followers: dict[str, list[Arrivals]] = {}
        self._lock = threading.Lock()
        #: Whether a part has failed, or an item of one.
        self._has_errors = False
        #: Whether the user has cancelled it: then it is cancelled when nothing of it has run.
        self._cancelling = False
        if not self._parts:
            self.set_result(None)

    # -- what is submitted later -------------------------------------------------------------------------------------

    def _add_parts(self, parts: Sequence[Part]) -> None:
        """Wait for these parts, too; there is one that is not done yet."""
        with self._lock:
            self._parts += parts
            self._waiting.update(part.msg_id for part in parts)
            self._unsettled.update(part.msg_id for part in parts)

    def _submit_rest(self) -> None:
        """Submit what is held back so far: somebody needs to know all parts."""

    def _withdraw(self) -> None:
        """Never submit what is held back so far: it was aborted."""

    # -- called in the I/O thread -------------------------------------------------------------------------------------

    def _finish_part(self, part: Part, record: dict[str, Any], frames: Sequence[Any]) -> None:
        part.finish(record, frames, time.time())
        if part.failed:
            for error in (part.error, *part.failures.values()):
                if isinstance(error, NameError) and isinstance(error, RemoteError):
                    add_name_hint(error, self._client.namespace())
        self._part_done(part)

    def _part_done(self, part: Part) -> None:
        # After a loss the thread that submits fails its own call.
        with self._lock:
            if part.msg_id not in self._waiting:
                return
            self._waiting.discard(part.msg_id)
            self._finished.append(part)
            self._has_errors = self._has_errors or part.failed
            if part.settled:
                # It has made no output: nobody will say that it is complete.
                self._unsettled.discard(part.msg_id)
            is_last = not self._waiting
            followers = tuple(self._followers.get(part.msg_id, ()))
        if is_last:
            self._complete()
        for follower in followers:
            follower._part_done(part)
        self._notify()

    def _complete(self) -> None:
        error = self._error() if self._has_errors else None
        if self._cancelling and all(isinstance(part.error, TaskAborted) for part in self._parts):
            super().cancel()
            self.set_running_or_notify_cancel()
        elif error is None:
            self.set_result(None)
        else:
            self.set_exception(error)

    def _add_output(self, part: Part, msg_type: str, payload: Sequence[Any]) -> None:
        output = part.add_output(msg_type, payload)
        with self._lock:
            self._live.add(part, output)
            followers = tuple(self._followers.get(part.msg_id, ()))
        for follower in followers:
            follower._live.add(part, output)
            follower._notify()
        self._notify()

    def _add_prompt(self, part: Part, content: bytes) -> None:
        self._prompts.append((part, content))
        self._notify()

    def _part_started(self, part: Part) -> None:
        """It was to be taken back, and runs."""
        part.started = True
        with self._lock:
            followers = tuple(self._followers.get(part.msg_id, ()))
        for follower in followers:
            follower._notify()
        self._notify()

    def _settle_part(self, part: Part, dropped: int) -> None:
        part.dropped = dropped
        part.settled = True
        self._part_settled(part)

    def _part_settled(self, part: Part) -> None:
        with self._lock:
            if part.msg_id not in self._unsettled:
                return
            self._unsettled.discard(part.msg_id)
            if part.dropped:
                self._live.add(part, ("stream", {"name": "stderr", "text": part.notice}, []))
            followers = tuple(self._followers.get(part.msg_id, ()))
        for follower in followers:
            follower._part_settled(part)
        self._notify()

    def _notify(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _errors(self) -> list[PxkernelError]:
        return [error for part in self._parts for error in (part.error, *part.failures.values()) if error]

    def _error(self) -> PxkernelError | None:
        errors = self._errors()
        if self._single and len(errors) == 1:
            return errors[0]
        return composite_error(errors, self._fname)

    # -- waiting ---------------------------------------------------------------------------------------------------------

    def done(self) -> bool:
        """As ``Future.done``, without its lock: it is asked several times for every call."""
        return self._state not in _OPEN

    def cancelled(self) -> bool:
        """As ``Future.cancelled``, without its lock."""
        return self._state in _CANCELLED

    def ready(self) -> bool:
        """Whether every engine has answered."""
        return self.done()

    @property
    def pending(self) -> set[str]:
        """The ids of the calls that have no reply yet."""
        return set(self._waiting)

    def running(self) -> bool:
        """As ``Future.running``: whether it is not done. Whether an engine has begun is in ``started``."""
        return not self.done()

    def wait_for_output(self, timeout: float | None = OUTPUT_TIMEOUT) -> bool:
        """Wait until all output has come as well, at most ``timeout`` seconds; whether it has."""
        return self._listen(timeout, lambda: self.done() and not self._unsettled)

    def _listen(self, timeout: float | None, finished: Callable[[], bool], show: bool = False) -> bool:
        """Wait for ``finished``, which can change with every message; show output as it comes."""
        end = deadline(timeout)
        # No SimpleQueue: its `get` may wait for ever if its time is over before it has begun to wait (CPython 3.11).
        unchanged = threading.Lock()
        unchanged.acquire()

        def listener() -> None:
            # Of several changes one is enough.
            if unchanged.locked():
                with contextlib.suppress(RuntimeError):
                    unchanged.release()

        self._listeners.append(listener)
        try:
            self._look_out(end)
            while True:
                if show:
                    self._live.show_new()
                self._answer_prompts(show)
                if finished():
                    if show:
                        self._live.show_new()
                    return True
                seconds = end - time.monotonic()
                if seconds <= 0:
                    return False
                holding = show and self._live.holding and seconds > HOLD
                changed = unchanged.acquire(timeout=HOLD if holding else min(seconds, LONGEST_WAIT))
                if holding and not changed:
                    self._live.release()
        finally:
            self._listeners.remove(listener)

    def _look_out(self, end: float) -> None:
        """About to wait until ``end``: the answer is looked for, unless there is nothing to wait for."""
        if not self.done() and end > time.monotonic():
            self._client.look_out()

    def _answer_prompts(self, show: bool) -> None:
        """In IPython, put to the user what the code that runs has asked; with ``show`` below what it has printed before."""
        while self._prompts and interactive():
            part, content = self._prompts.popleft()
            if not part.done:
                if show:
                    self._live.show_new()
                self._live.end_line()
                self._client.reply_input(part.msg_id, answer(part.engine_id, content))

    async def _listen_async(self, finished: Callable[[], bool]) -> None:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def listener() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(changed.set)

        self._listeners.append(listener)
        try:
            while not finished():
                await changed.wait()
                changed.clear()
        finally:
            self._listeners.remove(listener)

    def _refuse_to_wait_for_myself(self) -> None:
        """Waiting is impossible in the thread that would end it, and in the cell that the engine is busy with."""
        if not self._waiting:
            return
        self._client.refuse_io_thread()
        if here.engine is None or threading.current_thread() is not threading.main_thread():
            return
        directory, engine = here.engine
        if directory == self._client.directory and any(p.engine_id == engine and not p.done for p in self._parts):
            raise RuntimeError(
                f"this cell runs on engine {engine} and would wait for a call to engine {engine}, that is for itself: "
                "use block=False, or targets without it"
            )

    # -- followers -------------------------------------------------------------------------------------------------------

    def _lead(self, follower: Arrivals) -> None:
        """Pass on what comes for the parts that ``follower`` shares, beginning with what has come."""
        shared = {part.msg_id for part in follower._parts}
        mine = [part for part in self._parts if part.msg_id in shared]
        # Under the lock, so that nothing comes in between.
        with self._lock:
            for part in mine:
                self._followers.setdefault(part.msg_id, []).append(follower)
            for part, output in self._live.arrived:
                if part.msg_id in shared:
                    follower._live.add(part, output)
            done = [part for part in self._finished if part.msg_id in shared]
            settled = [part for part in mine if part.msg_id not in self._unsettled]
        for part in done:
            follower._part_done(part)
        for part in settled:
            follower._part_settled(part)
