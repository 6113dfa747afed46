"""The engines of a controller through restarts and ends: what counts, and what comes from a kernel that is gone (CLU-17)."""

import os
import signal

import pytest

from pxkernel.controller.lifecycle import Lifecycle
from pxkernel.controller.questions import Question, Questions
from pxkernel.controller.restore import EngineFiles
from pxkernel.controller.roster import Roster
from pxkernel.controller.settings import Settings
from pxkernel.core.events import EngineJoined, EngineLeft, EngineRestarts
from pxkernel.protocol.enginefiles import EngineFile
from pxkernel.protocol.messages import Ask, Hello, Interrupt, Refused, Welcome
from pxkernel.protocol.processes import identity

INFO = {"connection_file": "k.json", "pid": 1}


class Front:
    def __init__(self):
        self.who = {}
        self.sent = []

    def send(self, identity, message):
        self.sent.append((identity, message))
        return True

    def shares(self, identity):
        return False

    def drain(self, identity):
        pass

    def forget(self, identity):
        self.who.pop(identity, None)


class Channels:
    def __init__(self):
        self.connected = {}

    def connect(self, engine, incarnation, info, now, greet_on):
        self.connected[engine] = incarnation
        self.greeted_on = greet_on

    def disconnect(self, engine):
        self.connected.pop(engine, None)


class Launcher:
    """Remembers what it is asked to do; the test says when it is done."""

    def __init__(self):
        self.started = []
        self.taken_over = []
        self.ended = []
        self.signals = []
        self.lost = []

    def start(self, key, environment, kernel=None):
        self.started.append((key, dict(environment)))

    def take_over(self, key, engine):
        self.taken_over.append(key)

    def hung_up(self, key):
        self.lost.append(key)

    def end(self, key, then):
        self.ended.append((key, then))

    def signal(self, key, signum, then):
        self.signals.append((key, signum))
        then()

    def stop(self):
        pass


class World:
    def __init__(self, *inherited):
        files = EngineFiles(Settings("x", "default", "/nowhere", "/nowhere"))
        files.inherited = inherited
        self.front, self.channels, self.launcher = Front(), Channels(), Launcher()
        self.events, self.announced, self.answers = [], [], []
        self.roster = Roster(
            self.front, self.channels, self.launcher, self.events.append,
            lambda *changes: self.announced.append(changes), lambda *_: None, lambda engine: ["c:1"],
            files,
        )  # fmt: skip
        self.questions = Questions()
        lifecycle = Lifecycle(self.roster, lambda: self.announced.append(()), [{"A": "0"}, {"A": "1"}])
        lifecycle.answer(self.questions)
        lifecycle.start_first()

    def ask(self, topic, **arguments):
        question = Question(Ask(len(self.answers), topic, arguments), "c", self.answers.append)
        self.questions.ask(topic, arguments, question)

    def hello(self, engine, incarnation, role="engine", running=None):
        return Hello(role, "s", 1, engine, {"incarnation": incarnation, "running": running})

    def ready(self, engine, incarnation=0, running=None):
        identity = f"{engine}.{incarnation}".encode()
        self.roster.launched(engine, incarnation, True, INFO)
        self.roster.dialled(identity, self.hello(engine, incarnation, running=running))
        self.roster.listens(identity + b"!", self.hello(engine, incarnation, "listener"))
        self.roster.answered(engine)

    def restarted(self):
        """The old kernel of the restart that was asked for last has ended."""
        self.launcher.ended[-1][1]()


@pytest.fixture
def world():
    world = World()
    world.ready(0)
    world.ready(1)
    world.events.clear()
    return world


def test_the_first_engines(world):
    assert world.launcher.started == [((0, 0), {"A": "0"}), ((1, 0), {"A": "1"})]
    assert [engine["id"] for engine in world.roster.known()] == [0, 1]
    assert world.roster.prospects() == {"expected": 2, "coming": 0}
    assert {name: [e["id"] for e in engines] for name, engines in world.roster.sets().items()} == {"0": [0, 1]}


def test_a_restart(world):
    uuid = world.roster.uuid(0)
    world.ask("restart_engines", engines=[0])
    assert world.events == [EngineRestarts(0, "was restarted")] and world.answers == []
    assert world.roster.restarting() == [0] and world.roster.prospects() == {"expected": 2, "coming": 1}
    assert b"0.0" not in world.front.who and b"0.0!" not in world.front.who and 0 not in world.channels.connected
    world.restarted()
    assert world.launcher.started[-1] == ((0, 1), {"A": "0"})
    world.ready(0, 1)
    assert world.events[-1] == EngineJoined(0, True) and world.channels.connected[0] == 1
    assert [answer.error for answer in world.answers] == [None] and world.roster.uuid(0) != uuid


def test_news_of_the_old_kernel_are_dropped(world):
    world.ask("restart_engines", engines=[0])
    world.restarted()
    world.roster.launched(0, 0, True, INFO)
    world.roster.died(0, 0, "died (by SIGKILL)")
    world.roster.dialled(b"late", world.hello(0, 0))
    world.roster.listens(b"late", world.hello(0, 0, "listener"))
    assert world.front.sent[-1] == (b"late", Refused("engine 0 is not expected")) and b"late" not in world.front.who
    assert world.events == [EngineRestarts(0, "was restarted")] and 0 not in world.channels.connected


def test_a_new_kernel_that_dies(world):
    world.ask("restart_engines", engines=[0, 1])
    for _, then in world.launcher.ended:
        then()
    world.ready(1, 1)
    world.roster.died(0, 1, "died (exit code 1)")
    assert world.events[-1] == EngineLeft(0, "died (exit code 1)")
    (answer,) = world.answers
    assert answer.error["ename"] == "EngineError" and "engine 0 died (exit code 1)" in answer.error["evalue"]
    # It is expected, and can be restarted; clients are told that it comes.
    assert world.roster.prospects() == {"expected": 2, "coming": 0}
    assert [engine["state"] for engine in world.roster.sets()["0"]] == ["dead", "running"]
    world.announced.clear()
    world.ask("restart_engines", engines=[0])
    assert world.announced and world.roster.prospects() == {"expected": 2, "coming": 1}
    world.restarted()
    world.ready(0, 2)
    assert world.events[-1] == EngineJoined(0, True) and 0 not in world.roster.departed


def test_a_restart_overtakes_a_restart(world):
    world.ask("restart_engines", engines=[0])
    first = world.launcher.ended[-1][1]
    world.ask("restart_engines", engines=[0])
    starts = len(world.launcher.started)
    first()
    assert len(world.launcher.started) == starts, "the kernel of the first restart is started although nobody wants it"
    world.restarted()
    assert world.launcher.started[-1][0] == (0, 2)
    world.ready(0, 2)
    assert [answer.error for answer in world.answers] == [None, None]


def test_an_engine_that_is_stopped(world):
    world.ask("stop_engines", engines=[1])
    assert world.events == [EngineLeft(1, "was stopped")] and world.answers == []
    world.launcher.ended[-1][1]()
    assert world.answers[0].error is None and world.roster.prospects() == {"expected": 1, "coming": 0}
    world.roster.died(1, 0, "died (exit code 0)")
    assert world.events == [EngineLeft(1, "was stopped")]
    world.ask("restart_engines", engines=[1])
    assert world.answers[-1].error["evalue"] == "No such engine: 1: engine 1 was stopped"


def test_an_engine_that_is_stopped_during_its_restart(world):
    world.ask("restart_engines", engines=[1])
    restart = world.launcher.ended[-1][1]
    world.ask("stop_engines", engines=[1])
    starts = len(world.launcher.started)
    restart()
    assert len(world.launcher.started) == starts and world.events[-1] == EngineLeft(1, "was stopped")
    assert "engine 1 was stopped" in world.answers[0].error["evalue"]


@pytest.mark.parametrize("topic", ["stop_engines", "restart_engines", "signal_engines"])
def test_nothing_is_done_when_one_engine_does_not_exist(world, topic):
    more = {"signum": 2} if topic == "signal_engines" else {}
    world.ask(topic, engines=[0, 7], **more)
    assert world.answers[0].error["ename"] == "IndexError"
    assert not world.events and not world.launcher.ended and not world.launcher.signals


def test_adopted_kernels(world):
    hello = Hello("engine", "s", 1, None, {"incarnation": None, "connection": {}})
    world.roster.adopt(b"guest", hello)
    assert world.front.sent[-1][0] == b"guest" and isinstance(world.front.sent[-1][1], Welcome)
    world.ask("restart_engines", engines=[2])
    assert world.answers[-1].error["ename"] == "ValueError" and "was adopted" in world.answers[-1].error["evalue"]
    world.ask("stop_engines", engines=[2])
    assert world.answers[-1].error is None and world.roster.departed[2] == "was released"
    assert world.roster.prospects() == {"expected": 2, "coming": 0} and not world.launcher.ended


def test_more_engines(world):
    world.ask("new_engines", n=2, environment=False)
    assert world.answers[-1].error["ename"] == "ValueError"
    world.ask("new_engines", n=2, environment=True)
    assert world.answers[-1].value == [2, 3], "an id is lost"
    world.ask("start_engines", engines=[2, 3], set_id=None, environments=None)
    assert world.answers[-1].error["ename"] == "ValueError" and "different environments" in world.answers[-1].error["evalue"]
    world.ask("start_engines", engines=[2, 3], set_id=None, environments=[{}, {}])
    assert world.answers[-1].value == "1" and world.roster.prospects() == {"expected": 4, "coming": 2}
    for engines in ([2], [9]):
        world.ask("start_engines", engines=engines, set_id="x", environments=[{}])
        assert f"{engines[0]} is no id of a new engine" in world.answers[-1].error["evalue"]


# -- engines of an earlier controller (CTL-08) ------------------------------------------------------------------------


@pytest.fixture
def heir():
    """A controller that finds engine 2, which runs, in its third incarnation, and engine 4, which has ended."""
    pids = {2: os.getpid(), 4: 2**22 + 1}
    return World(
        *(
            EngineFile(number, 2, f"u{number}", pid, identity(os.getpid()), True, "s", {"A": "b"}, None, INFO)
            for number, pid in pids.items()
        )
    )


def test_an_engine_is_taken_over(heir):
    assert heir.launcher.taken_over == [(2, 2)] and heir.launcher.started == []
    heir.ready(2, 2)
    assert heir.events == [EngineJoined(2, True)] and heir.channels.greeted_on == "shell"
    (known,) = heir.roster.known()
    assert (known["id"], known["uuid"], known["incarnation"], known["engine_set"]) == (2, "u2", 2, "s")
    # Ids go on behind the highest one, and none is used twice.
    assert heir.roster.reserve(1) == [5]
    with pytest.raises(ValueError):
        heir.roster.start(2, "s", {})


def test_another_incarnation_is_not_taken_over(heir):
    heir.roster.launched(2, 2, True, INFO)
    heir.roster.dialled(b"old", heir.hello(2, 1))
    assert isinstance(heir.front.sent[-1][1], Refused) and heir.events == []


def test_one_that_has_ended_meanwhile_is_dead_and_nobody_waits_for_it(heir):
    with pytest.raises(IndexError, match="No such engine: 9"):
        heir.roster.find(9)
    assert heir.roster.departed == {4: "ended before the cluster was restored"}
    assert [engine["state"] for engine in heir.roster.sets()["s"]] == ["starting", "dead"]
    assert heir.roster.prospects() == {"expected": 1, "coming": 1}
    heir.ask("restart_engines", engines=[4])
    heir.restarted()
    # The third one may have been begun.
    assert heir.launcher.started == [((4, 4), {"A": "b"})]
    assert heir.roster.prospects() == {"expected": 2, "coming": 2}
    heir.ready(4, 4)
    heir.roster.died(4, 4, "died")
    assert heir.roster.prospects() == {"expected": 2, "coming": 1}


def test_what_an_engine_has_inherited(heir):
    heir.ready(2, 2, running="old:1")
    assert heir.events == [EngineJoined(2, True, "old:1")] and heir.channels.greeted_on == "control"
    heir.ask("signal_engines", engines=[2], signum=signal.SIGINT)
    assert heir.front.sent[-1] == (b"2.2!", Interrupt(["c:1", "old:1"], only_now=True))
    heir.roster.is_over(2, "old:1")
    heir.ask("signal_engines", engines=[2], signum=signal.SIGINT)
    assert heir.front.sent[-1] == (b"2.2!", Interrupt(["c:1"], only_now=True))


def test_what_is_over_before_the_engine_is_ready_holds_nothing_up(heir):
    heir.roster.launched(2, 2, True, INFO)
    heir.roster.dialled(b"2.2", heir.hello(2, 2, running="old:1"))
    heir.roster.is_over(2, "old:1")
    heir.roster.listens(b"2.2!", heir.hello(2, 2, "listener"))
    heir.roster.answered(2)
    assert heir.events == [EngineJoined(2, True)]


def test_the_kernel_of_an_engine_that_has_hung_up_is_left_to_the_launcher(world):
    """CTL-07: it knows whether the process lives; until it tells the engine is there."""
    world.roster.hung_up(1)
    assert world.launcher.lost == [(1, 0)] and not world.events
    world.roster.died(1, 0, "has lost its connection")
    assert world.events == [EngineLeft(1, "has lost its connection")]
    world.roster.hung_up(1)
    assert world.launcher.lost == [(1, 0)]
