"""A search through the records goes on between turns of the controller's loop (HUB-04)."""

import pytest

from pxkernel.controller import search
from pxkernel.controller.entries import Entry
from pxkernel.controller.query import matcher
from pxkernel.controller.search import Search


class Asked:
    answered = refused = None

    def answer(self, value, payloads):
        assert self.answered is None
        self.answered = value, payloads

    def refuse(self, error):
        self.refused = error


def entries(count):
    return [Entry(f"c:{n}", "c", "apply", {}, [b"request %d" % n], n, 0.0, engine=n % 2) for n in reversed(range(count))]


@pytest.fixture
def turns():
    return []


@pytest.fixture
def asked():
    return Asked()


def look(asked, turns, found, query, names=("msg_id",)):
    Search(asked, found, matcher(query), names, turns.append).run()


def test_a_short_one_is_answered_at_once(asked, turns):
    look(asked, turns, entries(4), {"engine_id": 1}, ("msg_id", "buffers"))
    assert asked.answered == (
        [{"msg_id": "c:1", "buffers": 1}, {"msg_id": "c:3", "buffers": 0}], [[b"request 3"], [b"request 1"]],
    )  # fmt: skip
    assert not turns


def test_a_long_one_lets_others_have_their_turn(asked, turns, monkeypatch):
    monkeypatch.setattr(search, "SLICE", -1)
    look(asked, turns, entries(5), {})
    count = 0
    while turns:
        assert asked.answered is None
        turns.pop()()
        count += 1
    assert count == 5
    assert [record["msg_id"] for record in asked.answered[0]] == [f"c:{n}" for n in range(5)]


def test_an_entry_that_moves_meanwhile_is_found_once(asked, turns):
    look(asked, turns, [*entries(2), *entries(2)], {})
    assert len(asked.answered[0]) == 2


def test_whoever_asks_is_told_what_goes_wrong(asked, turns, monkeypatch):
    def broken():
        yield entries(1)[0]
        raise OSError("the disk is gone")

    monkeypatch.setattr(search, "SLICE", -1)
    look(asked, turns, broken(), {})
    turns.pop()()
    assert str(asked.refused) == "the disk is gone" and asked.answered is None
