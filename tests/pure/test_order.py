"""Questions of clients that know more than the controller (protocol.mailbox, rule 3)."""

import pytest

from pxkernel.client import mailed
from pxkernel.client.questions import Questions
from pxkernel.controller import order as module
from pxkernel.controller.order import PATIENCE, Order
from pxkernel.protocol.messages import Abort, Answer, Ask, Submit

EARLY = Ask(0, "queue_status", {}, ["c:1", "c:2"])
PLAIN = Ask(1, "queue_status", {})


class World:
    """An Order whose open tasks and time are set by hand."""

    def __init__(self):
        self.open = {"c:1", "c:2"}
        self.now = 100.0
        self.handled = []
        self.order = Order(self.open.__contains__, lambda peer, message: self.handled.append((peer, message)))

    def come(self, peer, *messages):
        return [self.order.holds(peer, message) for message in messages]

    def pass_time(self, seconds=0.0):
        self.now += seconds
        return self.order.release_due(self.now)


@pytest.fixture
def world(monkeypatch):
    world = World()
    monkeypatch.setattr(module.time, "monotonic", lambda: world.now)
    return world


def test_what_names_no_open_task_is_not_held(world):
    assert world.come("p", PLAIN, Ask(2, "stop", {}, ["c:9"]), Abort(["c:1"]), Submit([])) == [False] * 4
    assert world.pass_time() is None


def test_a_question_waits_until_all_its_tasks_have_ended(world):
    assert world.come("p", EARLY) == [True]
    assert world.pass_time() == world.now + PATIENCE
    world.open.remove("c:2")
    assert world.pass_time() is not None and not world.handled
    world.open.remove("c:1")
    assert world.pass_time() is None
    assert world.handled == [("p", EARLY)]
    assert world.come("p", EARLY) == [False]


def test_what_its_peer_says_next_waits_behind_it_and_others_do_not(world):
    assert world.come("p", EARLY, Abort(["c:1"]), PLAIN) == [True] * 3
    assert world.come("q", Abort(["d:1"]), PLAIN) == [False] * 2
    world.open.clear()
    world.pass_time()
    assert world.handled == [("p", EARLY), ("p", Abort(["c:1"])), ("p", PLAIN)]


def test_it_is_answered_anyway_when_its_time_is_over(world):
    late = Ask(3, "stop", {}, ["c:2"])
    world.come("p", EARLY, Abort([]), late)
    assert world.pass_time(PATIENCE / 2) == world.now + PATIENCE / 2
    assert world.pass_time(PATIENCE / 2) is None
    assert world.handled == [("p", EARLY), ("p", Abort([])), ("p", late)]
    assert world.come("p", PLAIN) == [False]


def test_a_peer_that_goes_has_said_it_all(world):
    world.come("p", EARLY, PLAIN)
    world.order.release("p")
    world.order.release("q")
    assert world.handled == [("p", EARLY), ("p", PLAIN)]
    assert world.pass_time() is None


def test_a_peer_that_goes_in_the_middle_of_it(world):
    def handle(peer, message):
        world.handled.append(message)
        order.release(peer)

    order = Order(world.open.__contains__, handle)
    for message in (EARLY, PLAIN):
        assert order.holds("p", message)
    world.open.clear()
    assert order.release_due(world.now) is None
    assert world.handled == [EARLY, PLAIN]


@pytest.fixture
def asked():
    """What was asked, and the Questions of a client."""
    sent = []
    yield sent, Questions(sent.append, "/there")
    mailed._last.clear()


def named(sent):
    return [question.after for question in sent]


def test_a_question_names_the_last_task_of_each_engine(asked):
    sent, questions = asked
    for engine, task in ((0, "c:1"), (1, "c:2"), (0, "c:3")):
        mailed.note("/there", "c", engine, task)
    # A slow client of the process.
    mailed.note("/there", "d", 0, "d:1")
    questions.ask("queue_status", {})
    Questions(sent.append, "/elsewhere").ask("queue_status", {})
    mailed.forget("/there", "c")
    questions.ask("queue_status", {})
    assert named(sent) == [["c:3", "c:2", "d:1"], [], ["d:1"]]


def test_what_was_answered_is_not_named_again(asked):
    sent, questions = asked
    mailed.note("/there", "c", 0, "c:1")
    mailed.note("/there", "c", 1, "c:2")
    questions.ask("queue_status", {})
    questions.ask("queue_status", {})
    mailed.note("/there", "c", 1, "c:3")
    questions.answered(Answer(sent[0].number, {}, None))
    questions.ask("queue_status", {})
    questions.answered(Answer(sent[2].number, {}, None))
    questions.ask("queue_status", {})
    assert named(sent) == [["c:1", "c:2"], ["c:1", "c:2"], ["c:3"], []]
