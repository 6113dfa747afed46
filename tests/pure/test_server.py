"""The controller's loop without its sockets: what becomes of messages that make no sense."""

import random
from types import SimpleNamespace

import pytest

from pxkernel.controller.book import Book
from pxkernel.controller.intake import Intake
from pxkernel.controller.relay import Relay
from pxkernel.controller.rush import Rush
from pxkernel.controller.server import Server
from pxkernel.controller.spill import Spill
from pxkernel.controller.store import MemoryStore
from pxkernel.core import commands as c
from pxkernel.core import events as e
from pxkernel.core.core import Core
from pxkernel.core.policies import policy
from pxkernel.errors import ProtocolError
from pxkernel.protocol import messages as m
from pxkernel.protocol.sharing import MARK, THRESHOLD, share

ENGINE = 0


class Sockets:
    """What a Server sends; everybody is the client "c", and engine 0."""

    def __init__(self):
        self.to_engines = []
        self.to_clients = []
        self.answers = []

    def client(self, identity):
        return "c"

    def engine(self, identity):
        return ENGINE

    def send(self, _, message):
        (self.to_engines if isinstance(message, m.Run) else self.answers).append(message)
        return True

    def uuid(self, engine):
        return "uuid"

    @property
    def results(self):
        """The records that the client has been sent, by task."""
        return {task: record for message in self.to_clients for task, record in getattr(message, "results", ())}


@pytest.fixture
def sockets():
    return Sockets()


@pytest.fixture
def server(sockets, tmp_path):
    """One with the client "c" and engine 0, and with what it needs for tasks."""
    server = Server.__new__(Server)
    server._front = server._roster = sockets
    server._prompts = SimpleNamespace(forget=lambda tasks: None)
    server._core = Core(policy("leastload", random.Random(0)))
    server._book = Book(MemoryStore(2**20), sockets.uuid, lambda *read: None, Spill(tmp_path, 2**30))
    server._rush = Rush()
    server._intake = Intake(server._book)
    server._relay = Relay(server._book, server._core, server._handle, lambda _, message: sockets.to_clients.append(message))
    server._on_command = {
        c.RunTasks: server._run_tasks,
        c.Deliver: server._deliver,
        c.Fail: server._fail,
        c.Settle: lambda command: None,
        c.Announce: lambda command: None,
        c.Acknowledge: lambda command: None,
    }
    server._relay.open("c")
    server._handle(e.ClientJoined("c"))
    server._handle(e.EngineJoined(ENGINE))
    return server


def submit(server, *tasks, payload=(b"call",)):
    server._submit(b"", m.Submit([["apply", {}, [[task, ENGINE]]] for task in tasks], (list(payload),) * len(tasks)))


def finish(server, **payloads):
    records = [[f"c:{task}", {"status": "ok", "started": 1_000_000, "completed": 2_000_000}] for task in payloads]
    server._finished(b"", m.Finished(records, tuple(payloads.values())))
    server._relay.flush("c")


def malformed():
    """Tables of shared memory that make no sense."""
    table = bytes(share([b"head", bytes(THRESHOLD)])[0])
    return [MARK, table[:20], MARK + b"\xff" * 100, table[:-30], MARK + bytes(8) + b"head"]


@pytest.mark.parametrize("table", range(5))
def test_a_result_that_makes_no_sense_fails_its_task_and_no_other(server, sockets, table):
    submit(server, "c:a", "c:b", "c:c")
    payload = [malformed()[table], b"more frames than it says"]
    # They are sent one after the other: nothing is known of how long they take.
    for number, name in enumerate("abc", 1):
        finish(server, **{name: payload if name == "b" else [b"fine"]})
        assert len(sockets.results) == number
    statuses = {task: record["status"] for task, record in sockets.results.items()}
    assert statuses == {"c:a": "ok", "c:b": "died", "c:c": "ok"}
    assert "its result is lost" in sockets.results["c:b"]["reason"]


def test_a_call_that_makes_no_sense_reaches_the_engine_which_says_so(server, sockets):
    submit(server, "c:a", payload=[MARK + b"\xff" * 100])
    assert [run.tasks[0][0] for run in sockets.to_engines] == ["c:a"]


@pytest.mark.parametrize(
    "targets",
    [
        [["d:a", ENGINE]], [["c:a", ENGINE]], [["c:b", ENGINE], ["c:a", ENGINE]], [["c:b", "0"]], [["c:b", True]], [],
        [["c:b", ENGINE], ["c:b", ENGINE]], [["c:read", ENGINE]],
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_is_refused_and_those_before_it_count(server, sockets, targets):
    """Another client's task, a known one, an engine that is no number, no task at all, the same twice, what is to be read."""
    server._book._reads["c:read"] = "d:task", 0
    calls = [["apply", {}, [["c:a", ENGINE]]], ["apply", {}, targets], ["apply", {}, [["c:c", ENGINE]]]]
    with pytest.raises(ProtocolError):
        server._submit(b"", m.Submit(calls, ([b"call"],) * 3))
    assert [run.tasks[0][0] for run in sockets.to_engines] == ["c:a"] and list(server._book.open) == ["c:a"]
