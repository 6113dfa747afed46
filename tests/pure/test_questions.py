"""Questions to the controller, from the client's call to the handler and back (features HUB, CTL)."""

import pytest

from pxkernel.client.questions import Questions as Asked
from pxkernel.controller.questions import LATER, Question, Questions
from pxkernel.errors import ClusterError, EngineError, RemoteError


class Wire:
    """A client's questions and a controller's table without sockets between them."""

    def __init__(self):
        self.table = Questions()
        self.asked = Asked(self._deliver, "")
        self.open = []

    def _deliver(self, ask):
        question = Question(ask, "client", self.asked.answered)
        self.open.append(question)
        self.table.ask(ask.topic, ask.arguments, question)

    def ask(self, topic, payloads=(), use=lambda answered: answered, **arguments):
        return self.asked.ask(topic, arguments, payloads, use)


@pytest.fixture
def wire():
    return Wire()


def test_what_a_handler_returns_is_the_answer(wire):
    wire.table.add("double", lambda question, x: 2 * x)
    assert wire.ask("double", x=4).result(0) == (8, ())


def test_none_is_an_answer(wire):
    wire.table.add("nothing", lambda question: None)
    assert wire.ask("nothing").result(0) == (None, ())


def test_payloads_travel_both_ways(wire):
    wire.table.add("echo", lambda question: question.answer("here", question.payloads) or LATER)
    assert wire.ask("echo", [[b"1", b"2"]]).result(0) == ("here", ([b"1", b"2"],))


def test_a_handler_knows_who_asks(wire):
    wire.table.add("who", lambda question: question.client)
    assert wire.ask("who").result(0)[0] == "client"


def test_what_json_has_not_is_refused_at_the_call(wire):
    """HUB-04: it would end the thread that sends."""
    with pytest.raises(TypeError, match="double takes values that JSON has: Object of type object"):
        wire.ask("double", x=object())
    assert not wire.open


def test_an_answer_may_come_later(wire):
    wire.table.add("later", lambda question: LATER)
    first, second = wire.ask("later"), wire.ask("later")
    wire.open[1].answer(2)
    assert not first.done() and second.result(0)[0] == 2
    wire.open[0].refuse(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        first.result(0)


@pytest.mark.parametrize("error", [KeyError("no such message: zz"), IndexError("9"), ClusterError("text")])
def test_what_a_handler_raises_is_raised_at_the_client(wire, error):
    def handler(question):
        raise error

    wire.table.add("fail", handler)
    raised = wire.ask("fail").exception(0)
    assert isinstance(raised, RemoteError) and isinstance(raised, type(error))
    assert str(raised) == f"[Engine Exception] {type(error).__name__}: {error}"


def test_a_topic_that_nobody_knows(wire):
    with pytest.raises(KeyError, match="there is no question 'weather'"):
        wire.ask("weather").result(0)


def test_an_argument_that_the_handler_does_not_take(wire):
    wire.table.add("double", lambda question, x: 2 * x)
    with pytest.raises(TypeError, match="y"):
        wire.ask("double", y=4).result(0)


def test_a_topic_has_one_handler(wire):
    wire.table.add("double", lambda question, x: 2 * x)
    with pytest.raises(ValueError, match="double"):
        wire.table.add("double", lambda question, x: 3 * x)


def test_an_answer_that_comes_twice_is_ignored(wire):
    wire.table.add("double", lambda question, x: 2 * x)
    answer = wire.ask("double", x=4)
    wire.open[0].answer(9)
    assert answer.result(0)[0] == 8


def test_a_loss_ends_what_is_open(wire):
    wire.table.add("later", lambda question: LATER)
    answers = [wire.ask("later"), wire.ask("later")]
    wire.asked.lost("the controller has ended")
    for answer in answers:
        with pytest.raises(EngineError, match="has ended"):
            answer.result(0)
    wire.open[0].answer(1)


def test_what_is_made_of_an_answer(wire):
    wire.table.add("later", lambda question: LATER)
    good, bad, refused = (wire.ask("later", use=lambda answered: 10 / answered[0]) for _ in range(3))
    wire.open[0].answer(5)
    wire.open[1].answer(0)
    wire.open[2].refuse(KeyError("x"))
    assert good.result(0) == 2
    assert isinstance(bad.exception(0), ZeroDivisionError) and isinstance(refused.exception(0), KeyError)


def test_an_answer_that_comes_at_once_is_used_before_what_follows_it(wire):
    """The results that a client has asked for come right behind the answer."""
    used = []
    wire.table.add("now", lambda question: 1)
    wire.asked.answered = lambda answer, answered=wire.asked.answered: (answered(answer), used.append("next"))
    wire.ask("now", use=used.append)
    assert used == [(1, ()), "next"]
