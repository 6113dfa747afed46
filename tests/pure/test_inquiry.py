"""The clients of a process keep up with what its Cluster objects do over connections of their own (features CLU-17)."""

from dataclasses import dataclass, field

import pytest

from pxkernel.client import inquiry
from pxkernel.errors import EngineError


@dataclass(eq=False)
class Client:
    """What ``catch_up`` needs of one."""

    directory: str = "here"
    closed: bool = False
    in_io_thread: bool = False
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def ask(self, topic, timeout):
        self.asked.append(topic)
        if self.error is not None:
            raise self.error


@pytest.fixture
def add(monkeypatch):
    """Makes one of the clients of this process."""
    clients = []
    monkeypatch.setattr(inquiry, "clients", clients)

    def make(**options):
        clients.append(Client(**options))
        return clients[-1]

    return make


def test_every_client_of_the_cluster_is_waited_for(add):
    first, elsewhere, second = add(), add(directory="elsewhere"), add()
    inquiry.catch_up("here")
    assert (first.asked, elsewhere.asked, second.asked) == (["acknowledge"], [], ["acknowledge"])


@pytest.mark.parametrize("error", [EngineError("gone"), RuntimeError("forked"), TimeoutError("stuck")], ids=repr)
def test_one_that_does_not_answer_holds_nobody_up(add, error):
    first, second = add(error=error), add()
    inquiry.catch_up("here")
    assert first.asked and second.asked


def test_who_cannot_be_waited_for(add):
    closed, receiving = add(closed=True), add(in_io_thread=True)
    inquiry.catch_up("here")
    assert not closed.asked and not receiving.asked
