"""Requests of clients that a kernel answers by itself."""

import pytest

from pxkernel.controller.questions import Question, Questions
from pxkernel.controller.requests import KernelRequests
from pxkernel.kernels.channels import KernelMessage
from pxkernel.protocol.messages import Ask


class Channels:
    def __init__(self):
        self.sent = []

    def send(self, engine, channel, msg_type, content, msg_id):
        if engine > 3:
            raise KeyError(engine)
        self.sent.append((engine, channel, msg_type, content, msg_id))


@pytest.fixture
def asked():
    """asked(engine): asks the engine; with what was sent, what was answered, and the requests themselves."""
    channels, questions, answers = Channels(), Questions(), []
    requests = KernelRequests(channels, questions)

    def ask(engine):
        arguments = {"engine": engine, "code": "ab", "cursor": 2}
        questions.ask("complete", arguments, Question(Ask(1, "complete", arguments), "c", answers.append))

    ask.sent, ask.answers, ask.requests = channels.sent, answers, requests
    return ask


def reply(msg_id, content=b"{}"):
    return KernelMessage(0, "complete_reply", {"msg_id": msg_id}, content, [])


def test_a_request_goes_to_the_kernel_and_its_reply_to_the_client(asked):
    asked(2)
    ((engine, channel, msg_type, content, msg_id),) = asked.sent
    assert (engine, channel, msg_type) == (2, "shell", "complete_request")
    assert content == {"code": "ab", "cursor_pos": 2}
    assert ":" not in msg_id, "it must not look like a task"
    assert asked.answers == []
    asked.requests.replied(reply("something else"))
    asked.requests.replied(reply(msg_id, b'{"matches": []}'))
    asked.requests.replied(reply(msg_id))
    (answer,) = asked.answers
    assert (answer.error, answer.payloads) == (None, ([b'{"matches": []}'],))


def test_an_engine_that_goes_answers_nothing(asked):
    asked(1)
    asked(2)
    asked.requests.engines_left([2, 7])
    (answer,) = asked.answers
    assert answer.error["ename"] == "LookupError" and "engine 2 is gone" in answer.error["evalue"]
    asked.requests.replied(reply(asked.sent[1][-1]))
    assert len(asked.answers) == 1


def test_an_engine_that_does_not_exist(asked):
    asked(9)
    (answer,) = asked.answers
    assert answer.error["ename"] == "KeyError"
