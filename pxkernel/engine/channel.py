"""The task channel: one stream that dials out to the controller, served on the kernel's own event loop.

Rule 1. A task is started unless it has been recalled before, which the ``listener`` knows at any time. Rule 2. No task
starts while a cell awaits, and none while a task awaits: one piece of user code at a time. Rule 3. After a batch that
has made output the streams are flushed once, and one idle status says on iopub that its output is complete; a task without
output says so in its record.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import sys
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Any

import zmq
from tornado.ioloop import IOLoop

from ..errors import ClusterError, ProtocolError
from ..protocol import here
from ..protocol.clusterfile import ClusterFile
from ..protocol.messages import (
    Ack, Hello, InputReply, InputRequest, Leave, Refused, Release, Run, Welcome,
)  # fmt: skip
from ..protocol.sharing import Lent, Shared, probe, size
from ..protocol.stream import Piece, Stream, pieces, wait
from ..protocol.wire import Codec
from . import lifeline
from .adoption import await_welcome, connection_info, runs_a_cell
from .debugging import BreakpointHook
from .ending import end_control_first, end_if_forked
from .hooks import trigger
from .interrupts import InterruptGate
from .listener import Listener
from .parents import header_of, output_of
from .quiet import OutputWatch
from .reporter import Reporter
from .run import Outcome, Runner
from .startup import open_crash_log, run_on_start
from .stacks import StackDump
from .stdin import Stdin
from .succession import Succession

#: After so many seconds of tasks the loop gets a turn, so that a console that is attached to the kernel stays alive.
TURN = 0.02
#: How often a task that waits for its user looks whether it was interrupted just before it began to wait, in seconds.
INPUT_POLL = 0.1
#: How long what was sent last may take to be received when the engine leaves, in seconds.
LINGER = 1.0


class TaskChannel:
    """Serves the tasks of one kernel.

    Parameters
    ----------
    kernel
        The ipykernel kernel of this process.
    cluster
        The cluster to join.
    launched
        What the controller gave to an engine that it started, None for a kernel that asks to be adopted.
    """

    def __init__(self, kernel: Any, cluster: ClusterFile, launched: dict[str, Any] | None):
        self.engine_id: int | None = launched["id"] if launched else None
        self.active = False
        self._pid = os.getpid()
        self._kernel = kernel
        self._cluster = cluster
        self._launched = launched
        self._codec = Codec(bytes.fromhex(cluster.key))
        self._session = uuid.uuid4().hex[:12]
        self._loop = IOLoop.current()
        self._listener = Listener(cluster)
        # A message must not be left half sent or half read.
        shielded = (self._send, self._send_pieces, self._read_all)
        self._gate = InterruptGate(kernel, self._loop.asyncio_loop, self._listener.wake, shielded)
        self._runner = Runner(kernel, self._gate)
        self._reporter = Reporter(kernel, self._session, self._codec, cluster.sockets, self._send_pieces)
        self._stacks = StackDump(cluster.directory)
        self._queue: deque[tuple[str, str, dict[str, Any], Any]] = deque()
        #: Results that the controller may still have to open.
        self._lent = Lent()
        self._output = OutputWatch(kernel.session)
        #: The last task that has made output since the streams were flushed.
        self._unsettled: str | None = None
        self._stdin = Stdin(self._ask)
        self._breakpoints = BreakpointHook(kernel.shell)
        #: The task that runs, None between them, and what its user has typed.
        self._task: str | None = None
        self._typed: str | None = None
        #: What runs since an earlier controller, which the one of today waits for.
        self._inherited: str | None = None
        self._connected = True
        self._welcome = False
        self._task_runs = False
        self._cells = 0
        self._serving = False

    # -- joining and leaving ------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Dial the controller; a kernel that asks to be adopted waits for the answer.

        Raises
        ------
        ClusterError
            The controller refuses, or does not answer.
        """
        adopt = self._launched is None
        if not adopt:
            # First of all: the controller may end just now.
            self._watch()
        try:
            self._stream = Stream.connect(self._cluster.address)
        except OSError as error:
            raise ClusterError(f"the controller of {self._cluster.path} cannot be reached: {error}") from None
        hello = self._hello("engine", connection=connection_info()) if adopt else self._hello("engine")
        if adopt:
            self._send(hello)
            try:
                self._welcomed(await_welcome(self._stream, self._codec, self._cluster))
            except ClusterError:
                self._close()
                raise
            # If a cell loads the extension, it is running, and its pre_execute event has passed.
            self._cells = int(runs_a_cell(self._kernel))
        else:
            self._prepare_launched(hello)
        self.active = True
        here.engine = (self._cluster.directory, self.engine_id)  # type: ignore[assignment]
        # For users: get_ipython().kernel.engine_id (features ENG-07).
        self._kernel.engine_id = self.engine_id
        self._keep_output()
        self._gate.open()
        if not adopt:
            self._gate.install()
            end_control_first(self._kernel)
        self._breakpoints.install()
        self._stacks.open()
        self._listener.start(self._gate, self._hello("listener"))
        events = self._kernel.shell.events
        events.register("pre_execute", self._cell_starts)
        events.register("post_execute", self._cell_ends)
        if adopt:
            self._watch()
        self._loop.add_handler(self._stream, lambda *_: self._serve(), IOLoop.READ)

    def _hello(self, role: str, **more: Any) -> Hello:
        if role == "engine":
            self._proof = probe()
        incarnation, memory = (self._launched or {}).get("incarnation"), self._proof and self._proof[0].hex()
        info = {"incarnation": incarnation, "memory": memory, **more}
        return Hello(role, self._session, os.getpid(), self.engine_id, info)

    def _watch(self) -> None:
        patience = (self._launched or {}).get("restore")
        succession = None if patience is None else Succession(patience, self._dial_again)
        lifeline.watch(
            self._cluster, self._launched is not None, lambda: self._loop.add_callback(self._controller_is_gone), succession
        )

    def _welcomed(self, welcome: Welcome) -> None:
        self.engine_id = welcome.engine_id
        self._welcome = True
        self._runner.shares = bool(welcome.info.get("memory"))
        self._proof = None

    def _prepare_launched(self, hello: Hello) -> None:
        assert self._launched is not None
        self._crash_log = open_crash_log(self._launched["crash_log"])
        if "on_start" in self._launched:
            # When the event loop runs: the user's own start-up files come first, and code may await.
            self._loop.add_callback(self._start_up, self._launched["on_start"], hello)
        else:
            self._send(hello)

    async def _start_up(self, path: str, hello: Hello) -> None:
        self._task_runs = True
        await run_on_start(path, self._runner, self._crash_log)
        self._task_runs = False
        self._send(hello)

    def _keep_output(self) -> None:
        """Let iopub wait for its readers instead of dropping what they have not read (design, decision 13)."""
        thread = self._kernel.iopub_thread
        thread.schedule(lambda: thread.socket.setsockopt(zmq.XPUB_NODROP, 1))

    def leave(self, reason: str) -> None:
        """Stop being an engine and tell the controller."""
        if self.active:
            self._send(Leave(reason))
            end = time.monotonic() + LINGER
            while self._lent.open and (left := end - time.monotonic()) > 0:
                if wait(self._stream, select.POLLIN, left):
                    self._read_all()
            if self.active:
                self._close()

    def _close(self) -> None:
        if self.active:
            self.active = False
            self._lent = Lent()
            here.engine = None
            del self._kernel.engine_id
            events = self._kernel.shell.events
            events.unregister("pre_execute", self._cell_starts)
            events.unregister("post_execute", self._cell_ends)
            self._loop.remove_handler(self._stream)
            self._output.close()
            self._breakpoints.uninstall()
            # A kernel that is no engine any more must not wait for a front end that has stopped reading.
            thread = self._kernel.iopub_thread
            thread.schedule(lambda: thread.socket and thread.socket.setsockopt(zmq.XPUB_NODROP, 0))
            self._gate.uninstall()
            self._stacks.close()
        self._stream.close()
        self._reporter.close()
        self._listener.close()

    def _controller_is_gone(self) -> None:
        if self._launched is not None:
            if os.getpgid(0) == os.getpid():
                # What user code has started goes as well, as when the kernel is shut down.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.killpg(0, signal.SIGTERM)
            self._kernel.io_loop.add_callback(self._kernel.io_loop.stop)
        elif self.active:
            self._close()

    # -- events of the kernel -----------------------------------------------------------------------------------------

    def _cell_starts(self) -> None:
        if self._task_runs:
            # Here, because a task that is code has just had its input() replaced by ipykernel.
            self._stdin.install()
        else:
            self._cells += 1
            if self._cells == 1:
                self._gate.cell(self._kernel.shell.get_parent().get("header", {}).get("msg_id", ""))
        self._gate.code_starts()

    def _cell_ends(self) -> None:
        if not self._task_runs:
            self._cells = max(0, self._cells - 1)
            if not self._cells:
                self._gate.end()
                self._inheritance_is_over()
            self._loop.add_callback(self._serve)

    # -- serving ------------------------------------------------------------------------------------------------------

    def _send(self, message: Any) -> None:
        """Send all of a message: what runs next may hold this thread for hours."""
        self._send_pieces(pieces(self._codec.encode(message)))

    def _send_pieces(self, message: Sequence[Piece]) -> None:
        self._stream.take(message)
        try:
            if not self._stream.flush():
                self._stream.finish()
        except OSError:
            # The controller has gone, which the lifeline sees.
            self._stream.drop()

    def _read_all(self) -> None:
        """Read what has arrived."""
        try:
            arrived = self._stream.receive()
        except (EOFError, ProtocolError):
            self._hung_up()
            return
        for frames in arrived:
            try:
                message = self._codec.decode(frames)
            except ProtocolError as error:
                print(f"pxkernel.engine: {error}", file=sys.__stderr__)
                continue
            if isinstance(message, Run):
                tasks = zip(message.tasks, message.payloads, strict=True)
                self._queue.extend((*task, payload) for task, payload in tasks)
            elif isinstance(message, Ack):
                self._lent.acknowledged(message.amount)
            elif isinstance(message, InputReply):
                if message.task == self._task:
                    self._typed = json.loads(bytes(message.payloads[0][0]))["value"]
            elif isinstance(message, Welcome):
                self._welcomed(message)
            elif isinstance(message, Release):
                self._close()
            elif isinstance(message, Refused):
                print(f"pxkernel.engine: the controller refuses: {message.reason}", file=sys.__stderr__)
                self._controller_is_gone()

    def _hung_up(self) -> None:
        """The controller has closed the connection, or has ended."""
        self._connected = False
        self._lent = Lent()
        if self._launched is None:
            self._close()
        elif self._welcome:
            # It ends this engine, or the lifeline does.
            self._loop.remove_handler(self._stream)
        else:
            # It had no descriptor for this engine, and knows nothing of it.
            self._controller_is_gone()

    def _dial_again(self, cluster: ClusterFile) -> None:
        """Greet the next controller. Called in a thread, because a task may run for hours."""
        # First of all: what came from the last one must not start now.
        self._connected = False
        running = self._running()
        stream = Stream.connect(cluster.address)
        stream.send(self._codec.encode(self._hello("engine", running=running)))
        self._listener.dial(self._hello("listener"))
        self._loop.add_callback(self._serve_next, stream, running)

    def _serve_next(self, stream: Stream, running: str | None) -> None:
        self._loop.remove_handler(self._stream)
        self._stream.close()
        self._stream, self._lent, self._inherited, self._connected = stream, Lent(), running, True
        self._queue.clear()
        self._loop.add_handler(stream, lambda *_: self._serve(), IOLoop.READ)
        if self._running() != running:
            self._inheritance_is_over()

    def _running(self) -> str | None:
        return self._task if self._task_runs else self._gate.running

    def _inheritance_is_over(self) -> None:
        over, self._inherited = self._inherited, None
        if over is not None:
            self._reporter.report(over, {}, ())

    def _serve(self) -> None:
        """Called by the event loop when something may have arrived, and after a cell."""
        if self._serving or not self.active:
            return
        self._serving = True
        try:
            self._serve_turn()
        finally:
            self._serving = False

    def _serve_turn(self) -> None:
        end = time.monotonic() + TURN
        self._read_all()
        while self.active and self._may_start() and time.monotonic() < end:
            task = self._queue.popleft()
            if self._listener.claims.start(task[0]):
                self._run(*task)
        if self.active and self._unsettled is not None:
            last, self._unsettled = self._unsettled, None
            self._reporter.settle(last)
        if self._may_start():
            self._loop.add_callback(self._serve)

    def _may_start(self) -> bool:
        return bool(self._queue) and not self._task_runs and not self._cells and self._connected

    def _ask(self, prompt: str, password: bool) -> str:
        """Called in a task by ``input()``: have the client ask its user, and wait for the answer."""
        assert self._task is not None
        self._typed = None
        content = json.dumps({"prompt": prompt, "password": password}).encode()
        self._send(InputRequest(self._task, ([content],)))
        while self._typed is None and self.active and self._connected:
            self._read_all()
            if self._typed is None:
                wait(self._stream, select.POLLIN, INPUT_POLL)
        if self._typed in (None, "\x04"):
            raise EOFError("the input has ended: nobody answers")
        return self._typed

    def _run(self, task_id: str, kind: str, options: dict[str, Any], payload: Any) -> None:
        self._task_runs, self._task = True, task_id
        self._stdin.allowed = bool(options.get("allow_stdin"))
        self._output.reset()
        with output_of(self._kernel.shell, header_of(task_id, self._session)):
            if kind != "execute":
                trigger(self._kernel.shell, "pre_execute")
            outcome = self._runner.run(task_id, kind, payload)
            end_if_forked(self._pid)
            if isinstance(outcome, tuple):
                trigger(self._kernel.shell, "post_execute")
                # First of all: whoever waits for it goes on while this engine tidies up.
                self._report(task_id, options, outcome)
        if isinstance(outcome, tuple):
            self._task_runs = False
        else:
            asyncio.ensure_future(self._run_async(task_id, kind, options, outcome))

    async def _run_async(self, task_id: str, kind: str, options: dict[str, Any], outcome: Awaitable[Outcome]) -> None:
        with output_of(self._kernel.shell, header_of(task_id, self._session)):
            done = await outcome
            end_if_forked(self._pid)
            if kind != "execute":
                trigger(self._kernel.shell, "post_execute")
        self._report(task_id, options, done)
        self._task_runs = False
        self._loop.add_callback(self._serve)

    def _report(self, task_id: str, options: dict[str, Any], outcome: Outcome) -> None:
        record, frames = outcome
        if self._output.quiet:
            record["quiet"] = True
        else:
            self._unsettled = task_id
        if task_id == self._inherited:
            self._inheritance_is_over()
        else:
            if isinstance(frames, Shared):
                self._lent.add(frames, size(frames))
            self._reporter.report(task_id, record, frames, options)
        self._stdin.uninstall()
