"""An interrupt is named: it ends the task or the cell that was meant and nothing else.

A signal hits whatever runs when it arrives, and a KeyboardInterrupt that falls between two pieces of user code leaves a
callback of the event loop and ends the kernel. So the controller sends no signal. A thread (``listener``) is told which
tasks are meant, and raises a signal in the main thread again and again until that task has been hit or is over. The
signal's handler (``InterruptGate``) raises in the user's code only, which it finds on the stack.

The signal is one that ipykernel, which puts its own handler of SIGINT in place for the time of a request, leaves alone.
"""

from __future__ import annotations

import _signal
import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType, FrameType
from typing import Any

#: Nobody uses it, and where nobody handles it, it does nothing.
KNOCK = signal.SIGURG
#: Without the enumerations of `signal.signal`, which take longer than a short task.
_set_handler = _signal.signal
#: How many tasks that were meant and have not started are remembered.
REMEMBERED = 1000
#: How long the display of a value may take before it is interrupted, in seconds: ipykernel 7.4 remembers an interrupt in
#: it, and reports a later cell as failed.
DISPLAY_GRACE = 1.0


class InterruptGate:
    """Lets an interrupt through to the user's code that is meant.

    Parameters
    ----------
    kernel
        The ipykernel kernel of this process.
    loop
        Its event loop.
    wake
        Called, in the main thread, when the listener is to knock.
    shielded
        Functions that the user's code may call and that must not be interrupted.
    """

    def __init__(
        self,
        kernel: Any,
        loop: asyncio.AbstractEventLoop,
        wake: Callable[[], None],
        shielded: Iterable[Callable[..., Any]],
    ):
        self._shell = kernel.shell
        #: A cell's own code is above one of these on the stack: the second has it in a task of its own if it awaits.
        self._machinery = {_code(kernel.do_execute), _code(kernel.shell.run_cell_async)}
        self._shielded = set(map(_code, [*shielded, self._unraisable]))
        self._displayhook = _code(type(kernel.shell.displayhook).__call__)
        self._loop = loop
        self._wake = wake
        self._running: str | None = None
        self._inside: CodeType | None = None
        self._cancel: Callable[[], Any] | None = None
        #: What is to be interrupted and has not been, and since when. A dict, because another thread adds to it.
        self._meant: dict[str, float] = {}
        #: What handled the signals, and exceptions that nobody can catch, before.
        self._before: dict[int, Any] = {}
        self._before_hook = sys.unraisablehook

    def shield(self, function: Callable[..., Any]) -> None:
        """Never interrupt this function nor what it calls."""
        self._shielded.add(_code(function))

    # -- in the main thread -------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Take the signal of the listener."""
        self._take(KNOCK)
        self._before_hook, sys.unraisablehook = sys.unraisablehook, self._unraisable

    def install(self) -> None:
        """Take SIGINT as well, which ipykernel ignores outside of a request, so that it ends a task."""
        self._take(signal.SIGINT)

    def _take(self, signum: int) -> None:
        before = _set_handler(signum, self._handle)
        if before != self._handle:
            self._before.setdefault(signum, before)

    def uninstall(self) -> None:
        """Give them back, and let nothing through any more."""
        # ipykernel puts its handler of SIGINT back after a cell, this one as well, if it is in a cell that we leave.
        self._running = None
        self._meant.clear()
        for signum, before in self._before.items():
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, before)
        self._before.clear()
        if sys.unraisablehook == self._unraisable:
            sys.unraisablehook = self._before_hook

    def cell(self, cell_id: str) -> None:
        """A cell starts."""
        self._start(cell_id, None, None)

    def code_starts(self) -> None:
        """IPython starts the code of a cell or of a task; if it is to await, it has an asyncio task of its own."""
        # In this order: most tasks have none, and asking for a handler takes several microseconds.
        if (task := asyncio.current_task()) is not None and _is_ipykernels(signal.getsignal(signal.SIGINT)):
            self._cancel = task.cancel

    def task(self, task_id: str, inside: CodeType | None = None, cancel: Callable[[], Any] | None = None) -> None:
        """A task starts.

        Parameters
        ----------
        inside
            What is called from this code may be interrupted; None: the user's code that IPython runs.
        cancel
            Called to interrupt it while it awaits.
        """
        self.install()
        self._start(task_id, inside, cancel)

    def _start(self, task_id: str, inside: CodeType | None, cancel: Callable[[], Any] | None) -> None:
        self._inside, self._cancel, self._running = inside, cancel, task_id
        if task_id in self._meant:
            self._wake()

    def end(self) -> None:
        """The task or cell is over."""
        task_id, self._running = self._running, None
        self._meant.pop(task_id or "", None)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._running is None:
            return
        if signum == signal.SIGINT:
            self._meant[self._running] = time.monotonic()
        if self._running not in self._meant:
            return
        if self._is_inside(frame):
            self._meant.pop(self._running, None)
            _interrupt_here(frame)
        elif self._cancel is not None:
            # By the loop, while the code awaits. If it goes on before, the next knock finds it on the stack.
            self._loop.call_soon_threadsafe(self._cancel_awaiting, self._running)
        if signum == signal.SIGINT:
            self._wake()

    def _cancel_awaiting(self, task_id: str) -> None:
        if self._running == task_id and self._meant.pop(task_id, None) is not None and self._cancel is not None:
            self._cancel()

    def _unraisable(self, unraisable: Any) -> None:
        """Raise it again: it has fallen into a finalizer or the like, where every exception is dropped."""
        if unraisable.exc_type is KeyboardInterrupt and self._running is not None:
            self._meant[self._running] = time.monotonic()
            self._wake()
        else:
            self._before_hook(unraisable)

    def _is_inside(self, frame: FrameType | None) -> bool:
        """Whether ``frame`` is the user's code or was called from it."""
        users = False
        for code, variables in _stack(frame):
            if code in self._shielded:
                return False
            if self._inside is not None:
                if code is self._inside:
                    return True
            elif variables is self._shell.user_ns:
                users = True
            elif code is self._displayhook and not users:
                return time.monotonic() > self._meant.get(self._running or "", 0.0) + DISPLAY_GRACE
            elif code in self._machinery:
                return users
        return False

    # -- in the listener's thread -------------------------------------------------------------------------------------

    @property
    def running(self) -> str | None:
        """The task or cell of a client that runs; None: there is none."""
        running = self._running
        return running if running is not None and ":" in running else None

    def mean(self, tasks: Sequence[str], only_now: bool) -> None:
        """These are to be interrupted, now or when they start.

        With ``only_now`` only the one that runs; or a cell of another front end, which is no task and which nobody can name.
        """
        running = self._running
        if only_now:
            tasks = [running] if running is not None and (running in tasks or ":" not in running) else []
        for task_id in tasks:
            self._meant[task_id] = time.monotonic()
        while len(self._meant) > REMEMBERED:
            self._meant.pop(next(iter(self._meant)), None)

    def knock(self) -> bool:
        """Raise the signal, if what runs is to be interrupted; whether it is."""
        if self._running not in self._meant:
            return False
        signal.pthread_kill(threading.main_thread().ident or 0, KNOCK)
        return True


def _code(function: Any) -> CodeType | None:
    return getattr(function, "__code__", None)


def _stack(frame: FrameType | None) -> Iterator[tuple[CodeType, dict[str, Any]]]:
    """The code and the global variables of a frame and of those below it."""
    while frame is not None:
        yield frame.f_code, frame.f_globals
        frame = frame.f_back


def _is_ipykernels(handler: Any) -> bool:
    """Whether it is the handler that ipykernel has in place while a cell may await: it cancels the cell."""
    return callable(handler) and getattr(handler, "__module__", "").startswith("ipykernel.")


def _interrupt_here(frame: FrameType | None) -> None:
    """What SIGINT would do in the user's code, which may have a handler of its own for it."""
    handler = signal.getsignal(signal.SIGINT)
    own = callable(handler) and handler is not signal.default_int_handler and not _is_ipykernels(handler)
    if own and not isinstance(getattr(handler, "__self__", None), InterruptGate):
        handler(signal.SIGINT, frame)  # type: ignore[operator]
    else:
        raise KeyboardInterrupt
