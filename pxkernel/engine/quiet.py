"""Whether a task has made any output.

Most have not, and to flush two streams and to announce the end of output that never was takes longer than a short task.
ipykernel's streams write what they get to their ``echo`` as well, if they have one: a flag that remembers it is enough.
"""

from __future__ import annotations

import sys
from typing import Any


class _Flag:
    """An echo that remembers whether it was written to, in front of the one that was there."""

    def __init__(self, before: Any):
        self.before = before
        self.raised = False

    def write(self, text: str) -> None:
        self.raised = True
        if self.before is not None:
            self.before.write(text)

    def flush(self) -> None:
        if self.before is not None:
            self.before.flush()


class OutputWatch:
    """Tells whether output was made since ``reset``.

    Parameters
    ----------
    session
        The kernel's session; its message count tells what was displayed.
    """

    def __init__(self, session: Any):
        self._session = session
        self._streams = [stream for stream in (sys.stdout, sys.stderr) if hasattr(stream, "echo")]
        self._flags = [_Flag(stream.echo) for stream in self._streams]
        for stream, flag in zip(self._streams, self._flags, strict=True):
            stream.echo = flag
        self._known = len(self._streams) == 2
        self._messages = 0

    def reset(self) -> None:
        for flag in self._flags:
            flag.raised = False
        self._messages = self._session.message_count

    @property
    def quiet(self) -> bool:
        """Whether nothing was printed or displayed; False when that cannot be told."""
        return (
            self._known
            and self._session.message_count == self._messages
            and True not in [flag.raised for flag in self._flags]
        )

    def close(self) -> None:
        """Give the streams back as they were."""
        for stream, flag in zip(self._streams, self._flags, strict=True):
            if stream.echo is flag:
                stream.echo = flag.before
