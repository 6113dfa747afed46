"""Questions of running code: their way through the controller, and what stands for input() at both ends (MG-28)."""

import builtins
import getpass
import json
import sys
import threading
from types import SimpleNamespace

import pytest

from pxkernel.client import prompts as client_prompts
from pxkernel.controller import prompts
from pxkernel.controller.prompts import Prompts
from pxkernel.engine.debugging import BreakpointHook
from pxkernel.engine.stdin import Stdin
from pxkernel.kernels.channels import KernelMessage
from pxkernel.protocol.messages import InputReply, InputRequest

QUESTION = b'{"prompt": "name? ", "password": false}'


class Around:
    """What is around the questions of a controller: kernels, engines, clients."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(prompts.time, "monotonic", lambda: self.now)
        self.clients = {"c"}
        self.to_kernels, self.to_engines, self.to_clients = [], [], []
        self.prompts = Prompts(self, self, lambda *sent: self.to_engines.append(sent), self.to_client)

    def send(self, engine, channel, msg_type, content, msg_id):
        self.to_kernels.append((engine, channel, msg_type, content, msg_id))

    def to_client(self, client, message):
        if client in self.clients:
            self.to_clients.append((client, message))
        return client in self.clients

    # The front.
    def engine(self, identity):
        return {b"engine": 3}.get(identity)

    def client(self, identity):
        return {b"client": "c", b"other": "d"}.get(identity)

    def cell_asks(self, task="c:1"):
        self.prompts.cell_asks(KernelMessage(3, "input_request", {"msg_id": task}, QUESTION, []))

    def idle(self, msg_id):
        return self.prompts.seen(KernelMessage(3, "status", {"msg_id": msg_id}, b'{"execution_state": "idle"}', []))

    def reply(self, value, task="c:1", identity=b"client"):
        self.prompts.answered(identity, InputReply(task, ([json.dumps({"value": value}).encode()],)))


@pytest.fixture
def around(monkeypatch):
    return Around(monkeypatch)


def test_a_question_waits_for_the_output_before_it(around):
    around.cell_asks()
    ((engine, channel, msg_type, _, mark),) = around.to_kernels
    assert (engine, channel, msg_type) == (3, "control", "kernel_info_request")
    assert around.to_clients == [] and 0 < around.prompts.flush(0.0) <= prompts.OUTPUT_DELAY
    assert not around.idle("c:1")
    assert around.idle(mark)
    assert around.to_clients == [("c", InputRequest("c:1", ([QUESTION],)))]
    assert around.prompts.flush(0.0) is None
    assert not around.idle(mark)


def test_a_kernel_without_a_control_channel_of_its_own_is_not_waited_for(around):
    around.cell_asks()
    around.prompts.flush(prompts.OUTPUT_DELAY / 2)
    assert around.to_clients == []
    around.prompts.flush(prompts.OUTPUT_DELAY)
    around.prompts.flush(prompts.OUTPUT_DELAY * 2)
    assert len(around.to_clients) == 1


def test_the_answer_goes_back_the_way_of_the_question(around):
    around.cell_asks("c:1")
    around.prompts.task_asks(b"engine", InputRequest("c:2", ([QUESTION],)))
    around.prompts.flush(1.0)
    around.reply("x", "c:1")
    assert around.to_kernels[-1][:4] == (3, "stdin", "input_reply", {"value": "x"})
    around.reply("y", "c:2")
    assert around.to_engines == [(3, InputReply("c:2", ([b'{"value": "y"}'],)))]


def test_only_the_own_client_answers_and_once(around):
    around.cell_asks()
    around.prompts.flush(1.0)
    asked = len(around.to_kernels)
    around.reply("x", identity=b"other")
    around.reply("x", task="c:9")
    around.reply("x", identity=b"nobody")
    assert len(around.to_kernels) == asked
    around.reply("x")
    around.reply("x")
    assert len(around.to_kernels) == asked + 1


def test_a_question_of_nobody_meets_the_end_of_the_input(around):
    around.clients.clear()
    around.cell_asks()
    around.prompts.flush(1.0)
    assert around.to_kernels[-1][2:4] == ("input_reply", {"value": "\x04"})
    around.prompts.task_asks(b"nobody", InputRequest("c:2", ([QUESTION],)))
    assert around.prompts.flush(0.0) is None


def test_a_client_that_goes_leaves_no_engine_waiting(around):
    around.cell_asks("c:1")
    around.prompts.task_asks(b"engine", InputRequest("c:2", ([QUESTION],)))
    around.cell_asks("d:1")
    around.prompts.client_gone("c")
    assert around.to_kernels[-1][2:4] == ("input_reply", {"value": "\x04"})
    assert [message.payloads for _, message in around.to_engines] == [([prompts.END_OF_INPUT],)]
    assert around.prompts.flush(0.0) is not None


def test_a_task_that_has_ended_asks_nothing(around):
    around.cell_asks()
    mark = around.to_kernels[-1][-1]
    around.prompts.forget(["c:1"])
    assert not around.idle(mark)
    around.prompts.flush(1.0)
    assert around.to_clients == []


# ---- the notebook


@pytest.mark.parametrize(("password", "function"), [(False, (builtins, "input")), (True, (getpass, "getpass"))])
def test_the_user_is_asked_with_the_label_of_the_engine(monkeypatch, password, function):
    asked = []
    monkeypatch.setattr(*function, lambda prompt: asked.append(prompt) or "typed")
    content = json.dumps({"prompt": "name? ", "password": password}).encode()
    assert json.loads(client_prompts.answer(3, content)) == {"value": "typed"}
    assert asked == ["[input:3] name? "]


def test_a_front_end_that_cannot_ask_says_so(monkeypatch, capsys):
    def refuse(prompt):
        raise NotImplementedError

    monkeypatch.setattr(builtins, "input", refuse)
    assert json.loads(client_prompts.answer(3, QUESTION)) == {"value": "\x04"}
    assert capsys.readouterr().err.startswith("[input:3] this front end cannot ask")


def test_the_end_of_the_input_and_an_interrupt(monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda prompt: (_ for _ in ()).throw(EOFError))
    assert json.loads(client_prompts.answer(3, QUESTION)) == {"value": "\x04"}
    monkeypatch.setattr(builtins, "input", lambda prompt: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        client_prompts.answer(3, QUESTION)


# ---- the engine


@pytest.fixture
def stdin():
    before = builtins.input, getpass.getpass
    asked = []
    stdin = Stdin(lambda prompt, password: asked.append((prompt, password)) or "typed")
    stdin.allowed, stdin.asked = True, asked
    yield stdin
    stdin.uninstall()
    assert (builtins.input, getpass.getpass) == before


def test_input_and_getpass_of_a_task(stdin):
    stdin.install()
    stdin.install()
    assert input("a") == input() == getpass.getpass() == getpass.getpass("b", stream=None) == "typed"
    assert stdin.asked == [("a", False), ("", False), ("Password: ", True), ("b", True)]


def test_nobody_can_answer(stdin):
    stdin.install()
    stdin.allowed = False
    with pytest.raises(EOFError, match="nobody can answer"):
        input()


def test_a_thread_cannot_ask(stdin):
    stdin.install()
    raised = []

    def ask():
        try:
            input()
        except EOFError as error:
            raised.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert "main thread" in raised[0] and stdin.asked == []


def test_what_somebody_else_has_put_back_stays(stdin, monkeypatch):
    stdin.install()
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "input", max)
        stdin.uninstall()
        assert builtins.input is max
        assert getpass.getpass != stdin._getpass
    builtins.input = BEFORE


BEFORE = builtins.input


class Debugger:
    stopped = []

    def set_trace(self, frame):
        self.stopped.append(frame.f_code.co_name)


@pytest.fixture
def hook(monkeypatch):
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr(sys, "breakpointhook", lambda: "before")
    monkeypatch.setitem(sys.modules, "debugpy", None)
    Debugger.stopped.clear()
    hook = BreakpointHook(SimpleNamespace(debugger_cls=Debugger))
    hook.install()
    yield hook
    hook.uninstall()


def test_breakpoint_opens_the_debugger_where_it_stands(hook, capsys):
    breakpoint()
    breakpoint(header="here")
    assert Debugger.stopped == ["test_breakpoint_opens_the_debugger_where_it_stands"] * 2
    assert capsys.readouterr().out == "here\n"


def test_a_debugger_that_is_attached_comes_first(hook, monkeypatch):
    monkeypatch.setitem(sys.modules, "debugpy", SimpleNamespace(is_client_connected=lambda: True))
    assert breakpoint() == "before"
    assert Debugger.stopped == []


def test_the_variable_of_python_counts(hook, monkeypatch):
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    assert breakpoint() is None
    assert Debugger.stopped == []


def test_the_hook_is_given_back(hook):
    hook.uninstall()
    assert sys.breakpointhook() == "before"
    hook.install()
    sys.breakpointhook = other = lambda: "other"
    hook.uninstall()
    assert sys.breakpointhook is other
