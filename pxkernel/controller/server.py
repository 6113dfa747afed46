"""The loop of the main thread: bytes to events, commands to bytes."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import zmq

from ..core import commands as c
from ..core import events as e
from ..core.core import Core
from ..core.policies import policy
from ..kernels.channels import Channels
from ..kernels.forkserver import forkserver
from ..protocol import mailbox, sharing
from ..protocol import messages as m
from ..protocol.clusterfile import ClusterFile
from ..protocol.mailbox import MAILBOX
from ..protocol.times import duration
from .book import Book
from .comms import Comms
from .front import Front, Peer
from .hub import Hub
from .inspection import Inspector
from .intake import Intake
from .kernelmessages import KernelMessages
from .keys import Keys
from .launcher import Launcher, Recipe
from .lifecycle import Lifecycle
from .limits import raise_limits
from .loop import Loop, guarded, report
from .order import Order
from .prompts import Prompts
from .questions import LATER, Question, Questions
from .relay import Relay, failure_record, outcome_of
from .remote import RemoteClients, listen_for_others
from .requests import KernelRequests
from .restore import EngineFiles
from .roster import Roster
from .rush import Rush
from .settings import Settings
from .spill import Spill, budget
from .store import open_store
from .watch import Watch

#: After so many seconds what has failed is tried again.
RETRY = 0.1


class Server:
    """One controller. ``run`` returns when the cluster has stopped."""

    def __init__(self, settings: Settings):
        self._settings = settings
        # Before anything is open: it may refuse.
        store = open_store(settings)
        keys = Keys.of(settings.keys)
        self._context: zmq.Context[Any] = zmq.Context()
        raise_limits(self._context)
        self._loop = Loop()
        self._front = Front(
            Path(settings.sockets) / "controller", bytes.fromhex(keys.signing), self._loop.selector, self._received, self._gone
        )
        self.address = self._front.address
        self._cluster = self._published(keys)
        self._core = Core(policy(settings.scheme, random.Random()))
        self._channels = Channels(self._context)
        self._launcher = Launcher(self._cluster, Recipe.of(settings), self._launcher_tells)
        self._watch = Watch(self._loop.later)
        self._remote = RemoteClients(self._to_client)
        self._roster = Roster(
            self._front, self._channels, self._launcher, self._handle, self._announce_engines, self._watch.add,
            self._core.sent_to, EngineFiles(settings),
        )  # fmt: skip
        self._prompts = Prompts(self._front, self._channels, self._roster.send, self._ask_client)
        self._lifecycle = Lifecycle(self._roster, self._announce_engines, settings.environments)
        self._order = Order(self._core.is_open, self._handle_message)
        #: Connections to the front, by client.
        self._clients: dict[str, Peer] = {}
        spill = Spill(Path(settings.directory), budget(settings.store_limit))
        self._book = Book(store, self._roster.uuid, self._read_is_ready, spill)
        self._intake = Intake(self._book)
        self._relay = Relay(self._book, self._core, self._handle, self._to_client)
        self._questions = self._answering()
        self._requests = KernelRequests(self._channels, self._questions)
        self._comms = Comms(self._channels, self._relay.output, self._questions)
        self._kernels = KernelMessages(
            self._channels, self._roster, self._book, self._relay, self._prompts, self._requests, self._comms, self._handle
        )
        #: Each does what is due, and says when it is to be called again. The relay has what the others bring about.
        self._steps = (
            self._order.release_due, self._channels.greet, self._prompts.flush, self._remote.check, self._relay.flush_due
        )  # fmt: skip
        self._rush = Rush()
        self._stop_askers: list[Question] = []
        self._stopping = False
        self._stopped = False
        self._on_message = self._message_handlers()
        self._on_command = self._command_handlers()
        self._on_launcher = self._launcher_handlers()

    def _published(self, keys: Keys) -> ClusterFile:
        """The cluster file, written: from here on clients and engines find the front."""
        settings = self._settings
        cluster = ClusterFile(
            settings.cluster_id, settings.directory, settings.sockets, self.address, keys.signing, os.getpid(),
            settings.owner_pid, settings.profile,
            **listen_for_others(partial(self._front.listen, self._context), settings, keys),
        )  # fmt: skip
        cluster.write()
        return cluster

    def _answering(self) -> Questions:
        """Everybody who answers questions of clients is told which."""
        questions = Questions()
        questions.add("stop", self._stop_asked)
        questions.add("watch", self._relay.watch)
        Hub(self._core, self._book, self._accept, self._loop.later).answer(questions)
        self._lifecycle.answer(questions)
        Inspector(self._core, self._roster, self._settings.directory, self._loop.later).answer(questions)
        return questions

    def _message_handlers(self) -> dict[type, Callable[[Peer, Any], None]]:
        return {
            m.Hello: self._hello,
            m.Submit: self._submit,
            m.Abort: self._abort,
            m.Interrupt: self._interrupt,
            m.Ask: self._ask,
            m.Ack: self._acked,
            m.Finished: self._finished,
            m.Recalled: self._recalled,
            m.InputRequest: self._prompts.task_asks,
            m.InputReply: self._prompts.answered,
            m.Leave: self._leave,
        }

    def _command_handlers(self) -> dict[type, Callable[[Any], None]]:
        return {
            c.RunTasks: self._run_tasks,
            c.RunCell: self._run_cell,
            c.RecallTasks: lambda command: self._roster.urge(command.engine, m.Recall(list(command.tasks))),
            c.InterruptTasks: lambda command: self._roster.urge(command.engine, m.Interrupt(list(command.tasks))),
            c.InterruptEngine: lambda command: self._launcher.interrupt(self._roster.find(command.engine).key),
            c.Fail: self._fail,
            c.Deliver: self._deliver,
            c.Settle: lambda command: self._relay.settle(command.client, command.task),
            c.TellStarted: lambda command: self._to_client(command.client, m.Started(list(command.tasks))),
            c.Acknowledge: lambda command: self._relay.acknowledge(command.client, command.amount),
            c.Forget: self._forget,
            c.Announce: lambda command: self._announce_engines(command.joined, command.left, command.restarting),
        }

    def _launcher_handlers(self) -> dict[str, Callable[..., None]]:
        return {
            "launched": self._roster.launched,
            "died": self._roster.died,
            "interrupted": self._interrupted,
            "done": lambda then: then(),
            "stopped": self._finish,
        }

    # -- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self._loop.on_signals((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), self.stop)
        if self._settings.owner_pid is not None:
            self._watch.add(self._settings.owner_pid, self.stop)
        self._lifecycle.start_first()
        for channel, descriptor in self._channels.descriptors().items():
            self._loop.watch(descriptor, partial(self._channel_ready, channel))
        while not self._stopped:
            self._read_sockets()
            timeout = self._attend()
            if pause := self._rush.pause(time.monotonic()):
                # Not in the selector, which every report would wake.
                time.sleep(pause)
            # Kernels are greeted there, and sending may hide what has come.
            self._loop.turn(0.0 if self._channels.pending or self._front.pending else timeout)
        self._close()

    def _channel_ready(self, channel: str, events: int) -> None:
        self._channels.pending.add(channel)

    def _read_sockets(self) -> None:
        """Read what zmq may have received: its descriptors do not tell of all."""
        if self._channels.pending:
            for channel in list(self._channels.pending):
                guarded(self._kernels.read, channel)
        if self._front.pending:
            guarded(self._front.read_remote)

    def _attend(self) -> float | None:
        """Do what is due; in how many seconds something else is, None: not before something comes."""
        now = time.monotonic()
        if (deadline := self._core.deadline()) is not None and now >= deadline:
            guarded(self._handle, e.Ticked())
        due = math.inf
        for step in self._steps:
            try:
                moment = step(now)
            except Exception:
                report()
                moment = now + RETRY
            if moment is not None and moment < due:
                due = moment
        # They may have told the core something.
        if (deadline := self._core.deadline()) is not None:
            due = min(due, deadline)
        return None if due == math.inf else max(0.0, due - now)

    def _launcher_tells(self, name: str, *args: Any) -> None:
        """Called in the launcher's thread."""
        self._loop.later(self._on_launcher[name], *args)

    def _handle(self, event: e.Event) -> None:
        self._obey(self._core.handle(event, time.monotonic()))

    def _obey(self, commands: Sequence[c.Command]) -> None:
        for command in commands:
            self._on_command[type(command)](command)

    # -- the front ----------------------------------------------------------------------------------------------------

    def _received(self, peer: Peer, message: m.Message) -> None:
        if not self._order.holds(peer, message):
            self._handle_message(peer, message)

    def _handle_message(self, peer: Peer, message: m.Message) -> None:
        guarded(self._on_message[type(message)], peer, message)

    def _gone(self, peer: Peer) -> None:
        """The connection of a peer has ended."""
        if (client := self._front.client(peer)) is not None:
            guarded(self._client_gone, client)
        elif (engine := self._front.engine(peer)) is not None:
            guarded(self._roster.hung_up, engine)

    def _to_client(self, client: str, message: m.Message) -> None:
        peer = self._clients.get(client)
        if peer is not None and not self._front.send(peer, message):
            self._client_gone(client)

    def _hello(self, peer: Peer, hello: m.Hello) -> None:
        if self._stopping:
            self._front.send(peer, m.Refused("the cluster is stopping"))
        elif hello.role == "client":
            self._client_joins(peer, hello)
        elif hello.role == "listener":
            self._roster.listens(peer, hello)
        elif hello.engine_id is None:
            self._roster.adopt(peer, hello)
        else:
            self._roster.dialled(peer, hello)

    def _client_joins(self, peer: Peer, hello: m.Hello) -> None:
        self._clients[hello.session] = peer
        self._front.who[peer] = hello.session
        self._relay.open(hello.session)
        self._handle(e.ClientJoined(hello.session))
        info = {
            "cluster_id": self._cluster.cluster_id,
            "directory": self._cluster.directory,
            "departed": list(self._roster.departed.items()),
            "restarting": self._roster.restarting(),
            "prospects": self._roster.prospects(),
            "memory": self._front.shares(peer),
        }
        self._front.send(peer, m.Welcome(None, self._roster.known(), info))
        if hello.info.get("remote"):
            self._remote.add(hello.session)
        else:
            self._watch.add(hello.pid, self._client_ended, hello.session)

    def _client_gone(self, client: str) -> None:
        if (peer := self._clients.get(client)) is not None:
            self._order.release(peer)
        # It may have said that it leaves.
        if peer is not None and self._clients.pop(client, None) is not None:
            self._watch.remove(self._client_ended, client)
            self._remote.remove(client)
            self._front.forget(peer)
            mailbox.remove(self._cluster.sockets, client)
            guarded(self._relay.close, client)
            self._prompts.client_gone(client)
            self._comms.client_gone(client)
            self._handle(e.ClientLeft(client))

    def _client_ended(self, client: str) -> None:
        """Its process has; what it has sent counts."""
        self._front.drain(self._clients.get(client))
        self._client_gone(client)

    def _client_of(self, peer: Peer) -> str | None:
        client = self._front.client(peer)
        if client is None:
            self._front.send(peer, m.Refused("this controller does not know you"))
        return client

    def _submit(self, peer: Peer, message: m.Submit) -> None:
        client = self._client_of(peer)
        if client is None:
            return
        accepted: list[e.Submitted] = []
        try:
            # What comes before one that makes no sense counts.
            accepted.extend(self._intake.calls(client, message))
        finally:
            self._obey(self._core.submit(accepted, time.monotonic()))

    def _accept(self, *call: Any) -> None:
        """Have one call done, as ``Intake.call`` takes it."""
        self._handle(self._intake.call(*call))

    def _abort(self, peer: Peer, message: m.Abort) -> None:
        if (client := self._client_of(peer)) is not None:
            self._handle(e.Aborted(client, message.tasks))

    def _interrupt(self, peer: Peer, message: m.Interrupt) -> None:
        if (client := self._client_of(peer)) is not None:
            self._handle(e.InterruptAsked(client, message.tasks))

    def _acked(self, peer: Peer, message: m.Ack) -> None:
        if (client := self._front.client(peer)) is not None:
            self._relay.acked(client, message)
            self._handle(e.Acked(client, message.amount, message.outputs))

    def _ask(self, peer: Peer, message: m.Ask) -> None:
        question = Question(message, self._front.client(peer), partial(self._front.send, peer))
        self._questions.ask(message.topic, message.arguments, question)

    def _stop_asked(self, question: Question) -> Any:
        self._stop_askers.append(question)
        self.stop()
        return LATER

    # -- engines ------------------------------------------------------------------------------------------------------

    def _leave(self, peer: Peer, message: m.Leave) -> None:
        if (client := self._front.client(peer)) is not None:
            self._client_gone(client)
        elif (engine := self._front.engine(peer)) is not None:
            self._roster.ended(engine, message.reason)

    def _finished(self, peer: Peer, message: m.Finished) -> None:
        engine = self._front.engine(peer)
        if engine is None:
            return
        results, opened = [], 0
        for (task, record), frames in zip(message.results, message.payloads, strict=True):
            if sharing.is_shared(frames):
                # Also of what nobody waits for: its engine is to know that it need not keep it.
                opened += sharing.size(frames)
                record, frames = sharing.take_result(record, frames)
            if task in self._book.open:
                record["engine"] = engine
                mailed = record.pop("mailed", False)
                size = self._book.finished(task, engine, record, frames, mailed)
                seconds = duration(record)
                results.append((task, 0 if mailed else size, seconds, not record.get("quiet"), outcome_of(record)))
            else:
                # Nobody waits for it any more, but its engine was busy with it.
                self._roster.is_over(engine, task)
                results.append((task, 0, 0.0, False, "failed"))
        if opened:
            self._front.send(peer, m.Ack(opened))
        self._handle(e.TasksFinished(engine, results))
        self._rush.reported(len(results), len(self._core.sent_to(engine)))

    def _recalled(self, peer: Peer, message: m.Recalled) -> None:
        if (engine := self._front.engine(peer)) is not None:
            self._handle(e.TasksRecalled(engine, message.tasks, message.started))

    def _ask_client(self, client: str, message: m.Message) -> bool:
        self._relay.flush(client)
        self._to_client(client, message)
        return client in self._clients

    # -- commands of the core -----------------------------------------------------------------------------------------

    def _run_tasks(self, command: c.RunTasks) -> None:
        known = self._book.open
        work = [known[task] for task in command.tasks]
        tasks = [[entry.id, entry.kind, entry.options] for entry in work]
        self._roster.send(command.engine, m.Run(tasks, tuple(entry.request or () for entry in work)))

    def _run_cell(self, command: c.RunCell) -> None:
        work = self._book.open[command.task]
        content = {
            "code": work.code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            # One failure aborts nobody else's work.
            "stop_on_error": False,
            **work.options,
        }
        content.pop(MAILBOX, None)
        self._channels.send(command.engine, "shell", "execute_request", content, command.task)

    def _interrupted(self, engine: int, incarnation: int) -> None:
        if not self._roster.is_current(engine, incarnation):
            return
        if engine in self._core.engines:
            # ipykernel cancels a cell that awaits from its event loop, which the signal alone does not wake (tried).
            self._channels.send(engine, "shell", "kernel_info_request", {}, f"wake-{uuid.uuid4().hex}")
        self._handle(e.InterruptSent(engine))

    def _fail(self, command: c.Fail) -> None:
        record = failure_record(command, self._book.open[command.task].record)
        self._book.finished(command.task, command.engine, record, [])

    def _deliver(self, command: c.Deliver) -> None:
        self._prompts.forget(command.tasks)
        self._relay.deliver(command.client, command.tasks)

    def _forget(self, command: c.Forget) -> None:
        self._prompts.forget((command.task,))
        self._book.left(command.task)

    def _read_is_ready(self, read: str, amount: int) -> None:
        client = read.partition(":")[0]
        if client in self._clients:
            self._handle(e.Fetched(client, read, amount))
        else:
            self._book.left(read)

    def _announce_engines(
        self, joined: Sequence[int] = (), left: Sequence[tuple[int, str]] = (), restarting: Sequence[int] = ()
    ) -> None:
        self._requests.engines_left(engine for engine, _ in left)
        self._comms.engines_left(engine for engine, _ in left)
        engines = [self._roster.public(engine) for engine in joined]
        changed = m.EnginesChanged(engines, [list(pair) for pair in left], list(restarting), self._roster.prospects())
        for client in list(self._clients):
            # In the order of events: what an engine has done is told before that it has gone.
            self._relay.flush(client)
            self._to_client(client, changed)

    # -- the end ------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the cluster; ``run`` returns when that is done."""
        if self._stopping:
            return
        self._stopping = True
        self._roster.stop()

    def _finish(self) -> None:
        for client in list(self._clients):
            self._relay.flush(client)
        for question in self._stop_askers:
            question.answer()
        for peer in self._clients.values():
            self._front.send(peer, m.Refused("the cluster was stopped"))
        self._stopped = True

    def _close(self) -> None:
        self._launcher.close()
        if sys.platform.startswith("linux") and self._settings.provisioner in (None, "forkserver"):
            forkserver().close()
        self._channels.close()
        self._front.close()
        self._loop.close()
        self._book.close()
        self._context.term()
        self._cluster.remove()
