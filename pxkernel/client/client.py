"""Client: the engines of a cluster, indexed like a list."""

from __future__ import annotations

import os
import shlex
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..errors import EngineError
from ..protocol import messages as m
from ..protocol.mailbox import MAILBOX
from ..protocol.sharing import Shared, take_result
from . import mailed, outputs, representation
from .asyncresult import AsyncResult
from .comms import Comms
from .connection import Connection
from .control import Control
from .deadlines import deadline, left
from .hub import HubQueries
from .inquiry import clients
from .inspection import Inspection
from .jobs import Jobs
from .locate import locate
from .membership import Membership, engine_count, in_thread
from .questions import Questions, Use, as_it_is, value_of
from .records import Part
from .shell import show_remote_errors
from .targets import Targets, chosen, engine_id
from .tracking import SendTracker
from .views import Views
from .watching import Watching

if TYPE_CHECKING:
    from ..cluster import Cluster

#: One payload and the engines that it is for; None for a balanced call.
Call = tuple[Sequence[Any], Sequence[int | None]]


class Client(Jobs, Views, HubQueries, Control, Inspection):
    """A connection to a cluster (features RC).

    ``rc[0]`` is a view of one engine, ``rc[:]``, ``rc[1:3]`` and ``rc[0, 2]`` are views of several.

    Parameters
    ----------
    connection_info
        The cluster: a cluster id, the path of its cluster file, or what that file says, as a dict. None: what
        ``PXKERNEL_CLUSTER`` names, the default cluster, or the only running one.
    profile, cluster_id
        The cluster by its names. If it is not there yet it is awaited for ``timeout`` seconds.
    timeout
        Seconds that the controller may take to answer.
    cluster
        The Cluster that this client belongs to, if it was made by one.

    Raises
    ------
    TypeError, ValueError
        The cluster is named twice, or by the URL of a socket.
    FileNotFoundError
        There is no such cluster.
    ClusterError
        The cluster file is stale or is none, or several clusters run and none is named.
    TimeoutError
        The controller does not answer.
    """

    def __init__(
        self,
        connection_info: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        *,
        profile: str | None = None,
        cluster_id: str | None = None,
        timeout: float = 10.0,
        cluster: Cluster | None = None,
    ):
        file = locate(connection_info, profile, cluster_id, timeout)
        self.cluster = cluster
        #: Whether views that are made from now on block.
        self.block = False
        #: The ids of all calls, in the order of submission.
        self.history: list[str] = []
        self._file = file
        self.directory = file.directory
        self.profile = file.profile
        self.cluster_id = file.cluster_id
        self._session = uuid.uuid4().hex[:12]
        self._numbers = count()
        #: The tasks that have been submitted have numbers below this one.
        self._submitted = 0
        self._members = Membership()
        self._lost: str | None = None
        self._closed = False
        #: What is not finished, or whose output is not complete, by task id.
        self._pending: dict[str, tuple[AsyncResult, Part]] = {}
        self._known: WeakValueDictionary[str, AsyncResult] = WeakValueDictionary()
        self._questions = Questions(lambda message: self._connection.send(message), file.directory)
        self._watching = Watching(self.ask)
        self._comms = Comms(
            lambda engine, kind, payload: self.ask_async("comm", payloads=[payload], engine=engine, msg_type=kind)
        )
        self._handlers: dict[type, Callable[[Any], None]] = {
            m.Results: self._on_results,
            m.Outputs: self._on_outputs,
            m.Settled: self._on_settled,
            m.Started: self._on_started,
            m.InputRequest: self._on_input_request,
            m.EnginesChanged: self._members.change,
            m.Answer: self._questions.answered,
        }
        self._connection = Connection(file, self._session, self._on_message, self._on_lost)
        self._members.welcome(self._connection.open(timeout))
        clients.add(self)
        if (shell := outputs.get_shell()) is not None:
            show_remote_errors(shell)
            self.direct_view(block=True).activate_first()

    @property
    def closed(self) -> bool:
        """Whether it has been closed, or the cluster has ended."""
        return self._closed or self._lost is not None

    @property
    def session(self) -> str:
        """The name of this client in the ids of its calls and in the records of the controller (features RC-26)."""
        return self._session

    def __repr__(self) -> str:
        return f"<Client: {len(self.ids)} engines of {self.directory}>"

    def _repr_html_(self) -> str:
        """With what the engines are doing."""
        return representation.engines(self, lambda: self.top(timeout=representation.PATIENCE))

    # -- engines ------------------------------------------------------------------------------------------------------

    @property
    def ids(self) -> list[int]:
        """The ids of the engines, sorted; a new list each time. An engine keeps its id when it is restarted."""
        return sorted(self._members.engines)

    def __len__(self) -> int:
        return len(self._members.engines)

    def resolve(self, targets: Targets) -> tuple[list[int], bool]:
        """The engine ids that ``targets`` means now, and whether results come bare instead of in a list.

        Raises
        ------
        IndexError
            An engine does not exist.
        TypeError
            ``targets`` is nothing that can mean engines.
        NoEnginesRegistered
            It means all engines and there are none.
        """
        ids = self.ids
        if not ids:
            self._check()
        engines, single = chosen(targets, ids)
        return [self._existing(engine) for engine in engines], single

    def _existing(self, engine: int) -> int:
        engine = engine_id(engine)
        if engine in self._members.engines:
            return engine
        self._check()
        left = self._members.left
        why = f": engine {engine} {left[engine]}" if engine in left else f"; there are {self.ids}"
        raise IndexError(f"No such engine: {engine}{why}")

    def wait_for_engines(
        self,
        n: int | None = None,
        *,
        timeout: float | None = 60.0,
        block: bool = True,
        interactive: bool | None = None,
        widget: bool | None = None,
    ) -> Future[None] | None:
        """Wait until ``n`` engines are ready.

        Parameters
        ----------
        n
            How many; None: as many as the cluster has been asked for and not been told to stop. An engine that is being
            restarted counts when its new kernel is ready.
        timeout
            Seconds; None or negative: as long as it takes.
        block
            False: return a Future at once.
        interactive
            Whether a progress bar is shown if it takes longer; None: in IPython.
        widget
            Not needed: one display, which is updated, is the bar in every notebook.

        Raises
        ------
        TypeError, ValueError
            ``n`` is no number of engines, ``timeout`` none of seconds.
        TimeoutError
            They are not ready in time; the text says how many are.
        EngineError
            Engines that were started have died, so that there cannot be ``n``; the text is what they printed.
        """
        if n is not None:
            engine_count(n)
        bar = block and (outputs.interactive() if interactive is None else interactive)
        end = deadline(timeout)

        def wait_for_them() -> None:
            if n is None:
                # More may have been asked for just now, over another connection.
                self.ask("acknowledge", left(end))
            self._members.wait(n, timeout, self._check, bar)

        if not block:
            return in_thread(wait_for_them)
        wait_for_them()
        return None

    def engine_info(self, engine: int) -> dict[str, Any]:
        """What is known of an engine: id, uuid, pid, connection_file, tasks (has the extension), adopted, incarnation
        (how often it was restarted), engine_set."""
        return dict(self._members.engines[self._existing(engine)])

    def connection_file(self, engine: int) -> Path:
        """The connection file of an engine's kernel, for ``jupyter console --existing <file>``."""
        return Path(self.engine_info(engine)["connection_file"])

    def watch_outputs(self, function: Callable[[int, str, dict[str, Any]], Any]) -> Callable[[], None]:
        """Follow what all engines print and display, whoever has called them (features JUP-09).

        Parameters
        ----------
        function
            Called in the I/O thread, which it must not block, with the id of the engine, the type of the Jupyter message
            ("stream", "display_data", "execute_result", "error", ...) and its content. What comes faster than this client
            reads is left out.

        Returns
        -------
        A function that ends it.

        Raises
        ------
        TypeError
            It cannot be called.
        """
        return self._watching.add(function)

    def console(self, engine: int) -> None:
        """Print the command that opens a console on an engine (issue 4), on its machine: one more front end of its kernel.

        Raises
        ------
        IndexError
            There is no such engine.
        """
        where = "" if self._file.is_here else f"on {self._file.host}: "
        print(f"{where}jupyter console --existing {shlex.quote(str(self.connection_file(engine)))}")

    # -- work ---------------------------------------------------------------------------------------------------------

    def submit(
        self,
        kind: str,
        calls: Sequence[Call],
        make: Callable[[Client, list[Part]], Any],
        *,
        method: str = "apply",
        options: dict[str, Any] | None = None,
        code: str = "",
        sizes: Sequence[int] | None = None,
        label: str | None = None,
        track: bool = False,
        terms: dict[str, Any] | None = None,
        time_limit: float | None = None,
        copy: bool = False,
    ) -> Any:
        """Send calls to engines; the views use it.

        Parameters
        ----------
        kind
            "apply", "map", "execute" or "cell".
        calls
            Each a payload and the ids of the engines that it is for.
        make
            Makes the AsyncResult from this client and one Part for each engine of each call.
        method
            What errors are labelled with, "apply" or "execute".
        sizes
            Items in each call, for maps.
        track, copy
            Whether the result tells when the payloads have been sent; whether what they were made from may change at once.
        terms
            What balanced calls ask for: the fields of ``core.Terms`` that are not the default.
        time_limit
            Seconds that each task may run; None: any number.
        """
        self._check()
        if time_limit is not None:
            options = {**(options or {}), "time_limit": time_limit}
        if label is not None and not isinstance(label, str):
            raise TypeError(f"label must be a string, not {label!r}")
        if kind not in ("execute", "cell"):
            self._members.check_python(engine for _, engines in calls for engine in engines)
        calls = [(self._connection.prepared(payload, copy), engines) for payload, engines in calls]
        parts, message = self._prepare(kind, calls, method, code, sizes, label, options or {}, terms)
        result = make(self, parts)
        self._send_off(result, parts, message, track)
        return result

    def _prepare(
        self,
        kind: str,
        calls: Sequence[Call],
        method: str,
        code: str,
        sizes: Sequence[int] | None,
        label: str | None,
        options: dict[str, Any],
        terms: dict[str, Any] | None,
    ) -> tuple[list[Part], m.Submit]:
        """The parts of a submission, and its message."""
        now = time.time()
        options = dict(options)
        if outputs.interactive():
            options["allow_stdin"] = True
        if label is not None:
            options["label"] = label
        if self._may_be_mailed(kind, calls, options, terms):
            options[MAILBOX] = True
        parts: list[Part] = []
        message_calls: list[list[Any]] = []
        for index, (payload, engines) in enumerate(calls):
            targets = []
            for engine in engines:
                task = f"{self._session}:{next(self._numbers)}"
                part = Part(task, engine, self._uuid(engine), method, code, sizes[index] if sizes else 1, now)
                part.label, part.lent = label, payload if isinstance(payload, Shared) else None
                if terms is not None:
                    part.after, part.follow = (terms[rule][0] if rule in terms else () for rule in ("after", "follow"))
                parts.append(part)
                targets.append([task, engine])
            call = [kind, options, targets]
            message_calls.append(call if terms is None else [*call, terms])
        return parts, m.Submit(message_calls, tuple(payload for payload, _ in calls))

    def _may_be_mailed(
        self, kind: str, calls: Sequence[Call], options: dict[str, Any], terms: dict[str, Any] | None
    ) -> bool:
        """Whether a call may be answered straight from its engine (``protocol.mailbox``, rules 2 and 3)."""
        if self._pending or self._connection.mailbox is None:
            return False
        names_one = terms is None and [len(engines) for _, engines in calls] == [1]
        return names_one and kind != "cell" and "time_limit" not in options

    def _send_off(self, result: AsyncResult, parts: Sequence[Part], message: m.Submit, track: bool = False) -> None:
        """Register the parts of a result, and send them."""
        self._submitted = next(self._numbers)
        tracker = result._tracker = SendTracker() if track and parts else None
        pending = {part.msg_id: (result, part) for part in parts}
        try:
            # All or none, whenever a Ctrl-C comes.
            self._pending.update(pending)
            self.history += pending
            for task in pending:
                self._known[task] = result
        finally:
            # After a Ctrl-C as well: what is registered and never sent would be waited for.
            if parts and parts[0].msg_id in self._pending:
                self._connection.send(message, tracker)
            else:
                self._withdraw(result, parts)
        if parts:
            if self._lost is not None:
                # It was lost after the check, and what was registered since has not been told.
                self._fail_pending(self._lost)

    @staticmethod
    def _withdraw(result: AsyncResult, parts: Sequence[Part]) -> None:
        for part in parts:
            result._finish_part(part, {"status": "aborted", "reason": "it was interrupted before it was sent"}, ())
            result._settle_part(part, 0)

    def namespace(self) -> dict[str, Any]:
        """The user's namespace of this process."""
        return sys.modules["__main__"].__dict__

    def send(self, message: m.Message) -> None:
        """Send a message to the controller; ``Control`` uses it.

        Raises
        ------
        EngineError
            There is no controller any more.
        """
        self._check()
        self._connection.send(message)

    def reply_input(self, task: str, content: bytes) -> None:
        """Answer what the code of ``task`` has asked; ``content`` is that of a Jupyter ``input_reply``."""
        self._connection.send(m.InputReply(task, ([content],)))

    # -- the end ------------------------------------------------------------------------------------------------------

    def ask(self, topic: str, timeout: float | None = 30.0, use: Use = value_of, **arguments: Any) -> Any:
        """Ask the controller and wait for its answer.

        Parameters
        ----------
        topic, arguments
            What a handler of the controller expects (``controller.questions``); JSON values.
        timeout
            Seconds; None: as long as it takes.
        use
            What to make of the answer, in the I/O thread; by default its value.

        Raises
        ------
        RemoteError
            What the controller's handler has raised; it is of that class, too.
        EngineError
            The controller has ended.
        TimeoutError
            It did not answer within ``timeout`` seconds.
        """
        self.refuse_io_thread()
        answer = self.ask_async(topic, use=use, **arguments)
        if not wait([answer], timeout).done:
            raise TimeoutError(f"the controller did not answer {topic!r} in {timeout:g} seconds")
        return answer.result()

    def ask_async(
        self, topic: str, /, *, payloads: Sequence[m.Payload] = (), use: Use = as_it_is, **arguments: Any
    ) -> Future[Any]:
        """Ask the controller; the future of the value and of the payloads that come with it.

        With ``use`` that of what this function, called in the I/O thread, makes of both.
        """
        self._check()
        answer = self._questions.ask(topic, arguments, payloads, use)
        if self._lost is not None:
            # It was lost after the check.
            self._questions.lost(self._lost)
        return answer

    def close(self, linger: int | None = None) -> None:
        """Disconnect; idempotent. The cluster goes on; of what was submitted, what has not started never will.

        Parameters
        ----------
        linger
            Milliseconds that sending what is on its way may take, as in ZeroMQ; None: a second, -1: as long as it takes.
        """
        if not self._closed:
            self._closed = True
            self._connection.close(linger)
            self._on_lost("the client was closed")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def in_io_thread(self) -> bool:
        """Whether this is the thread that receives: the one that runs callbacks of AsyncResults."""
        return self._connection.is_current_thread()

    def look_out(self) -> None:
        """Called before waiting: the answer to a call that is alone under way is looked for."""
        if len(self._pending) == 1:
            self._connection.look_out()

    def refuse_io_thread(self) -> None:
        """Called before waiting: callbacks run in the thread that receives, and nothing arrives while it waits.

        Raises
        ------
        RuntimeError
            This is that thread.
        """
        if self.in_io_thread:
            raise RuntimeError(
                "a callback of an AsyncResult runs in the client's I/O thread and cannot wait for another call: "
                "submit there without blocking, or do it in a thread of your own"
            )

    def _check(self) -> None:
        if self._closed:
            raise RuntimeError("Client cannot be used after it has been closed")
        if self._lost is not None:
            raise EngineError(f"there is no cluster any more: {self._lost}")

    # -- in the I/O thread --------------------------------------------------------------------------------------------

    def _on_message(self, message: m.Message) -> None:
        try:
            self._handlers[type(message)](message)
        except Exception:  # one message that makes no sense must not end the thread for which everything else waits
            traceback.print_exc()

    def _on_results(self, message: m.Results) -> None:
        for (task, record), frames in zip(message.results, message.payloads, strict=True):
            entry = self._pending.get(task)
            if entry is not None and not entry[1].done:
                result, part = entry
                self._place(part, record.get("engine"))
                if record.pop("mailed", False):
                    mailed.note(self.directory, self._session, part.engine_id, task)
                if record.get("quiet"):
                    part.settled = True
                if part.settled:
                    del self._pending[task]
                result._finish_part(part, *take_result(record, frames))

    def _on_outputs(self, message: m.Outputs) -> None:
        for (task, msg_type, engine), payload in zip(message.outputs, message.payloads, strict=True):
            if msg_type in m.COMM_TYPES:
                self._comms.received(engine, msg_type, payload)
                continue
            self._watching.received(engine, msg_type, payload)
            if (entry := self._pending.get(task)) is not None:
                self._place(entry[1], engine)
                entry[0]._add_output(entry[1], msg_type, payload)

    def _place(self, part: Part, engine: int | None) -> None:
        """A part of a balanced call is heard of from an engine: it runs there, perhaps after it has failed elsewhere."""
        if engine is not None and part.engine_id != engine:
            part.engine_id, part.engine_uuid = engine, self._uuid(engine)

    def _uuid(self, engine: int | None) -> str:
        return "" if engine is None else self._members.engines.get(engine, {}).get("uuid", "")

    def _on_settled(self, message: m.Settled) -> None:
        for task, dropped in message.tasks:
            if (entry := self._pending.get(task)) is not None:
                result, part = entry
                if part.done:
                    del self._pending[task]
                result._settle_part(part, dropped)

    def _on_started(self, message: m.Started) -> None:
        for task in message.tasks:
            if (entry := self._pending.get(task)) is not None:
                entry[0]._part_started(entry[1])

    def _on_input_request(self, message: m.InputRequest) -> None:
        if (entry := self._pending.get(message.task)) is not None:
            entry[0]._add_prompt(entry[1], bytes(message.payloads[0][0]))

    def _on_lost(self, reason: str) -> None:
        self._lost = reason
        if not self._closed:
            # A controller that only this client has left still answers others.
            mailed.forget(self.directory, self._session)
        self._members.lose(reason)
        self._fail_pending(reason)
        self._questions.lost(reason)

    def _fail_pending(self, reason: str) -> None:
        for task in list(self._pending):
            entry = self._pending.pop(task, None)
            if entry is None:
                continue
            result, part = entry
            if not part.done:
                result._finish_part(part, {"status": "died", "reason": reason}, ())
            result._settle_part(part, 0)
