"""Widgets of engines: the way of their messages through the controller, and their twins in the notebook (JUP-04)."""

import json
from types import SimpleNamespace

import comm
import pytest

from pxkernel.client import comms as client_comms
from pxkernel.controller.comms import Comms
from pxkernel.controller.questions import Question, Questions
from pxkernel.kernels.channels import KernelMessage
from pxkernel.protocol.messages import Ask

OPEN = {"comm_id": "x", "target_name": "jupyter.widget", "data": {"state": 1}}


class Around:
    """What is around the comms of a controller."""

    def __init__(self):
        self.sent, self.outputs, self.answers = [], [], []
        self.questions = Questions()
        self.comms = Comms(self, lambda *output: self.outputs.append(output), self.questions)

    def send(self, engine, channel, msg_type, content, msg_id, metadata, buffers):
        self.sent.append((engine, channel, msg_type, content, msg_id, metadata, buffers))

    def kernel(self, msg_type, content, task="c:1", engine=2, buffers=(), metadata=()):
        parent = {"msg_id": task}
        message = KernelMessage(engine, msg_type, parent, json.dumps(content).encode(), buffers, metadata=dict(metadata))
        self.comms.from_kernel(message)

    def client(self, msg_type, content, client="c", engine=2, buffers=()):
        head = json.dumps({"content": content, "metadata": {"m": 1}}).encode()
        ask = Ask(1, "comm", {"engine": engine, "msg_type": msg_type}, payloads=([head, *buffers],))
        self.questions.ask("comm", ask.arguments, Question(ask, client, self.answers.append))
        return self.answers.pop().error


@pytest.fixture
def around():
    around = Around()
    around.kernel("comm_open", OPEN, buffers=[b"raw"], metadata={"version": "2.1.0"})
    return around


def test_what_an_engine_opens_goes_to_the_client_of_the_task(around):
    ((client, task, message),) = around.outputs
    assert (client, task, message.msg_type, message.buffers) == ("c", "c:1", "comm_open", [b"raw"])
    assert json.loads(message.content) == {"content": OPEN, "metadata": {"version": "2.1.0"}}


def test_what_comes_later_goes_there_too_whatever_has_caused_it(around):
    around.kernel("comm_msg", {"comm_id": "x", "data": {}}, task="somebody-else")
    assert [client for client, _, _ in around.outputs] == ["c", "c"]


def test_unknown_comms_and_those_of_other_engines_go_nowhere(around):
    around.kernel("comm_msg", {"comm_id": "y", "data": {}})
    around.kernel("comm_msg", {"comm_id": "x", "data": {}}, engine=3)
    assert len(around.outputs) == 1


def test_what_the_notebook_sends_goes_to_the_kernel(around):
    content = {"comm_id": "x", "data": {"value": 7}}
    assert around.client("comm_msg", content, buffers=[b"raw"]) is None
    ((engine, channel, msg_type, sent, msg_id, metadata, buffers),) = around.sent
    assert (engine, channel, msg_type, sent, metadata, buffers) == (2, "shell", "comm_msg", content, {"m": 1}, [b"raw"])
    assert msg_id.startswith("c:"), "what it causes goes to the same client"


@pytest.mark.parametrize(
    "wrong", [{"client": "d"}, {"engine": 3}, {"msg_type": "execute_request"}, {"content": {"comm_id": "y"}}]
)
def test_nobody_sends_on_the_comms_of_others_or_something_else(around, wrong):
    error = around.client(**{"msg_type": "comm_msg", "content": {"comm_id": "x", "data": {}}, **wrong})
    assert error["ename"] == "LookupError" and around.sent == []


@pytest.mark.parametrize("end", ["engine", "notebook", "engine gone", "client gone"])
def test_a_comm_ends(around, end):
    if end == "engine":
        around.kernel("comm_close", {"comm_id": "x"})
        assert len(around.outputs) == 2
    elif end == "notebook":
        assert around.client("comm_close", {"comm_id": "x"}) is None
    elif end == "engine gone":
        around.comms.engines_left([2])
    else:
        around.comms.client_gone("c")
    before = len(around.outputs)
    around.kernel("comm_msg", {"comm_id": "x", "data": {}})
    assert len(around.outputs) == before
    assert around.client("comm_msg", {"comm_id": "x", "data": {}})["ename"] == "LookupError"


# ---- the notebook


class Twin:
    def __init__(self, **options):
        self.options, self.sent, self.closed = options, [], None

    def on_msg(self, callback):
        self.message = callback

    def on_close(self, callback):
        self.ended = callback

    def send(self, **options):
        self.sent.append(options)

    def close(self, **options):
        self.closed = options


@pytest.fixture
def notebook(monkeypatch):
    """The comms of a notebook, with the twins that were made and what was sent to engines."""
    twins, sent = [], []
    monkeypatch.setattr(comm, "create_comm", lambda **options: twins.append(Twin(**options)) or twins[-1])
    monkeypatch.setattr(client_comms, "in_notebook", lambda: True)
    comms = client_comms.Comms(lambda *message: sent.append(message))
    return SimpleNamespace(comms=comms, twins=twins, sent=sent)


def arrive(notebook, msg_type, content, *buffers):
    head = json.dumps({"content": content, "metadata": {"version": "2.1.0"}}).encode()
    notebook.comms.received(3, msg_type, [head, *map(memoryview, buffers)])


def test_a_comm_of_an_engine_gets_a_twin(notebook):
    arrive(notebook, "comm_open", OPEN, b"raw")
    assert notebook.twins[0].options == {
        "target_name": "jupyter.widget", "comm_id": "x", "data": {"state": 1},
        "metadata": {"version": "2.1.0"}, "buffers": [b"raw"],
    }  # fmt: skip


def test_messages_go_both_ways(notebook):
    arrive(notebook, "comm_open", OPEN)
    (twin,) = notebook.twins
    arrive(notebook, "comm_msg", {"comm_id": "x", "data": 5}, b"raw")
    arrive(notebook, "comm_msg", {"comm_id": "unknown", "data": 5})
    assert twin.sent == [{"data": 5, "metadata": {"version": "2.1.0"}, "buffers": [b"raw"]}]
    twin.message({"content": {"comm_id": "x", "data": 6}, "metadata": {}, "buffers": [b"back"]})
    ((engine, msg_type, (head, *buffers)),) = notebook.sent
    assert (engine, msg_type, buffers) == (3, "comm_msg", [b"back"])
    assert json.loads(head) == {"content": {"comm_id": "x", "data": 6}, "metadata": {}}


def test_either_end_can_close(notebook):
    arrive(notebook, "comm_open", OPEN)
    arrive(notebook, "comm_close", {"comm_id": "x"})
    assert notebook.twins[0].closed["data"] is None and notebook.twins[0].ended is None
    arrive(notebook, "comm_open", OPEN)
    notebook.twins[1].ended({"content": {"comm_id": "x"}})
    assert [msg_type for _, msg_type, _ in notebook.sent] == ["comm_close"]
    arrive(notebook, "comm_msg", {"comm_id": "x", "data": 5})
    assert notebook.twins[1].sent == []


def test_there_are_no_twins_where_there_is_no_notebook(notebook, monkeypatch):
    monkeypatch.setattr(client_comms, "in_notebook", lambda: False)
    arrive(notebook, "comm_open", OPEN)
    assert notebook.twins == []
