"""On which terms a task is submitted again (HUB-06), and what is known of all tasks."""

import json
import random

import pytest

from pxkernel.controller import search
from pxkernel.controller.book import Book
from pxkernel.controller.hub import Hub
from pxkernel.controller.questions import Question, Questions
from pxkernel.controller.spill import Spill
from pxkernel.controller.store import MemoryStore
from pxkernel.controller.terms import terms_of
from pxkernel.core import dependencies
from pxkernel.core import events as e
from pxkernel.core.core import Core
from pxkernel.core.policies import policy
from pxkernel.protocol import messages as m

#: All must have succeeded.
SUCCESS = (True, True, False)


class Controller:
    """The tables and the book of a controller with the client "c" and the engines 0 and 1; no sockets."""

    def __init__(self, folder):
        self.core = Core(policy("leastload", random.Random(0)))
        self.book = Book(MemoryStore(2**20), lambda engine: "uuid", lambda *read: None, Spill(folder, 2**30))
        self.submitted = {}
        self.questions = Questions()
        Hub(self.core, self.book, self.accept, lambda function, *args: function(*args)).answer(self.questions)
        self.core.handle(e.ClientJoined("c"), 0.0)
        for engine in (0, 1):
            self.core.handle(e.EngineJoined(engine), 0.0)

    def accept(self, client, kind, options, payload, targets, terms=None):
        ((task, engine),) = targets
        self.submitted[task] = engine, terms, dict(options)
        self.book.submitted(client, kind, dict(options), payload, targets, terms)
        self.core.handle(e.Submitted(client, kind, 1, targets, None if terms is None else terms_of(terms)), 0.0)

    def submit(self, task, engine=None, terms=None, **options):
        self.accept("c", "apply", options, [b"call"], [(task, engine)], terms)

    def finish(self, task):
        engine = self.core.tasks[task].engine
        self.book.finished(task, engine, {"status": "ok", "quiet": True}, [b"result"])
        self.core.handle(e.TasksFinished(engine, [(task, 0, 0.1, False, "ok")]), 0.0)
        self.book.delivered(task)
        return engine

    def resubmit(self, task):
        """The engine, the terms and the options of a task that is submitted again."""
        again = f"c:again{len(self.submitted)}"
        assert self.ask("resubmit", tasks=[[again, task]]).error is None
        return self.submitted[again]

    def ask(self, topic, **arguments):
        answers, message = [], m.Ask(1, topic, arguments)
        self.questions.ask(topic, arguments, Question(message, "c", answers.append))
        return answers[0]


@pytest.fixture
def controller(tmp_path):
    return Controller(tmp_path)


@pytest.mark.parametrize("names", [["c:1"], ["c:read"], ["c:new", "c:new"], ["d:new"], ["c:new", "c:1"]])
@pytest.mark.parametrize("topic", ["resubmit", "fetch"])
def test_a_name_that_is_taken(controller, topic, names):
    """Two tasks of one name would ruin the queue of an engine for everybody."""
    controller.submit("c:1", 1)
    controller.book._reads["c:read"] = "c:1", 0
    pairs = [[name, "c:1"] for name in names]
    answer = controller.ask(topic, **{"tasks" if topic == "resubmit" else "reads": pairs})
    assert answer.error["ename"] == "ValueError"
    assert list(controller.book.open) == ["c:1"] and list(controller.book._reads) == ["c:read"]


def test_a_direct_task_runs_on_its_engine(controller):
    controller.submit("c:1", 1, label="x", time_limit=2.5)
    controller.finish("c:1")
    assert controller.resubmit("c:1") == (1, None, {"allow_stdin": False, "label": "x", "time_limit": 2.5})


def test_a_direct_task_whose_engine_is_gone_runs_anywhere(controller):
    controller.submit("c:1", 1)
    controller.finish("c:1")
    controller.core.handle(e.EngineLeft(1, "died"), 0.0)
    assert controller.resubmit("c:1")[:2] == (None, {})


def test_a_balanced_task_keeps_its_terms(controller):
    controller.submit("c:0", 0)
    controller.finish("c:0")
    terms = {"family": "f", "targets": [0, 1], "retries": 2, "timeout": 3.0, "after": [["c:0"], *SUCCESS]}
    controller.submit("c:1", terms=terms)
    controller.finish("c:1")
    assert controller.resubmit("c:1")[:2] == (None, terms)


def test_a_task_that_waits_waits_again(controller):
    controller.submit("c:0", 0)
    controller.submit("c:1", terms={"after": [["c:0"], *SUCCESS]})
    controller.resubmit("c:1")
    assert len(controller.core.balancer) == 2


def test_dependencies_that_were_forgotten_are_over(controller, monkeypatch):
    """And a task that has to follow one runs where it ran."""
    monkeypatch.setattr(dependencies, "MEMORY", 2)
    controller.submit("c:0", 1)
    controller.finish("c:0")
    terms = {"retries": 1, "after": [["c:0"], *SUCCESS], "follow": [["c:0"], *SUCCESS]}
    controller.submit("c:1", terms=terms)
    assert controller.finish("c:1") == 1
    assert controller.resubmit("c:1")[:2] == (None, terms)
    for task in ("c:2", "c:3"):
        controller.submit(task, 0)
        controller.finish(task)
    assert controller.resubmit("c:1")[:2] == (None, {"retries": 1, "targets": [1]})
    controller.core.handle(e.EngineLeft(1, "died"), 0.0)
    assert controller.resubmit("c:1")[:2] == (None, {"retries": 1})


# ---- while records are looked at, others have their turn


@pytest.fixture
def sliced(controller, monkeypatch):
    """``sliced(topic, between, **arguments)``: the answer to a question, with ``between`` called in every turn."""
    turns = []
    controller.questions = Questions()
    Hub(controller.core, controller.book, controller.accept, turns.append).answer(controller.questions)
    monkeypatch.setattr(search, "SLICE", -1)

    def ask(topic, between=lambda: None, **arguments):
        answers = []
        controller.questions.ask(topic, arguments, Question(m.Ask(1, topic, arguments), "c", answers.append))
        assert turns and not answers
        while turns:
            turns.pop()()
            between()
        return answers[0]

    return ask


def ids(answer):
    places, payloads = answer.value, answer.payloads
    return {name: [task for (page,) in payloads[a:b] for task in json.loads(page)] for name, (a, b) in places.items()}


def test_looking_at_all_records_takes_turns(controller, sliced):
    """HUB-01, HUB-03, HUB-09"""
    for number in range(6):
        controller.submit(f"c:{number}", engine=number % 2)
    for number in range(4):
        controller.finish(f"c:{number}")
    more = iter(range(6, 9))

    def between():
        if (number := next(more, None)) is not None:
            controller.submit(f"c:{number}", engine=0)

    assert ids(sliced("history", between)) == {"history": [f"c:{number}" for number in range(6)]}
    assert ids(sliced("queue_status", engines=[0, 1], verbose=True)) == {
        "unassigned": [],
        "0 queue": ["c:4", "c:6", "c:7", "c:8"], "0 tasks": [], "0 completed": ["c:0", "c:2"],
        "1 queue": ["c:5"], "1 tasks": [], "1 completed": ["c:1", "c:3"],
    }  # fmt: skip
    pending = sliced("purge", tasks=["c:0", "c:4"], engines=[])
    assert pending.error["ename"] == "IndexError" and controller.book.get("c:0") is not None
    assert sliced("purge", tasks=[], engines=[1]).error is None
    assert ids(sliced("history"))["history"] == ["c:0", "c:2", "c:4", "c:5", "c:6", "c:7", "c:8"]
    assert sliced("purge", tasks=None, engines=[]).error is None
    assert ids(sliced("history"))["history"] == ["c:4", "c:5", "c:6", "c:7", "c:8"]
