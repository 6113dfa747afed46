"""Output goes to the task that made it.

ipykernel routes what is printed and displayed by the parent header, and every release does it in its own way: 7.4 has
``set_thread_parent``, 7.0 to 7.3 and the streams of 6.29 a context variable with a global value behind it for threads,
the display hook and publisher of 6.29 a plain attribute. This module is the only place that knows.

While a task runs, its header is set in the thread that runs it and in the threads that it starts, and nowhere else: a
thread that a cell has started goes on printing into that cell.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import UTC, datetime
from typing import Any


def header_of(task_id: str, session: str) -> dict[str, Any]:
    """A Jupyter header for a task; every value is hashable, because ipykernel groups output by them."""
    return {
        "msg_id": task_id,
        "session": session,
        "username": "pxkernel",
        "msg_type": "pxkernel_task",
        "date": datetime.now(UTC).isoformat(),
        "version": "5.3",
    }


class output_of:
    """``with output_of(shell, header):`` routes the output of the block, and of threads started in it, to ``header``."""

    # No generator: it is entered for every task.
    __slots__ = ("_before", "_message", "_restore", "_shell")

    def __init__(self, shell: Any, header: dict[str, Any]):
        self._shell = shell
        self._message = {
            "header": header, "parent_header": {}, "metadata": {}, "content": {}, "msg_id": header["msg_id"]
        }  # fmt: skip

    def __enter__(self) -> None:
        self._restore = _set_here(self._shell, self._message)
        self._before = threading.getprofile()
        threading.setprofile(_adopt_thread(self._shell, self._message, self._before))

    def __exit__(self, *error: object) -> None:
        threading.setprofile(self._before)
        self._restore()


def _adopt_thread(shell: Any, message: dict[str, Any], before: Any) -> Callable[..., None]:
    # A profile function is the one public hook that runs in a new thread before its target does.
    def first_call(frame: Any, event: str, argument: Any) -> None:
        sys.setprofile(before)
        _set_here(shell, message)

    return first_call


def _set_here(shell: Any, message: dict[str, Any]) -> Callable[[], None]:
    """Set the parent in this thread (or asyncio task) only; returns what undoes it."""
    if hasattr(shell, "set_thread_parent"):
        tokens = shell.set_thread_parent(message)
        return lambda: shell.reset_thread_parent(tokens)
    undo = [_set_stream(stream, message) for stream in (sys.stdout, sys.stderr) if hasattr(stream, "set_parent")]
    if threading.current_thread() is threading.main_thread():
        undo += [_set_attribute(target, message) for target in (shell, shell.displayhook, shell.display_pub)]

    def restore() -> None:
        for one in reversed(undo):
            one()

    return restore


def _set_stream(stream: Any, message: dict[str, Any]) -> Callable[[], None]:
    here = stream.parent_header
    # In an empty context a stream answers with its global value, which set_parent overwrites: it is put back at once,
    # in a copy of the context so that the value just set here stays.
    everywhere = Context().run(lambda: stream.parent_header)
    stream.set_parent(message)
    copy_context().run(setattr, stream, "parent_header", everywhere)

    def restore() -> None:
        everywhere = Context().run(lambda: stream.parent_header)
        stream.parent_header = here
        copy_context().run(setattr, stream, "parent_header", everywhere)

    return restore


def _set_attribute(target: Any, message: dict[str, Any]) -> Callable[[], None]:
    try:
        before = target.parent_header
    except LookupError:
        before = {}
    target.set_parent(message) if not hasattr(target, "kernel") else setattr(target, "parent_header", message)
    return lambda: setattr(target, "parent_header", before)
