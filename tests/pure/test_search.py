"""Looking at all records goes on between turns of the controller's loop (HUB-01, HUB-03, HUB-04, HUB-09)."""

import json
import random

import pytest

from pxkernel.controller import search
from pxkernel.controller.entries import Entry
from pxkernel.controller.query import matcher
from pxkernel.controller.search import in_slices, listed, pages


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
    in_slices(asked, search.search(found, matcher(query), names), turns.append)


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


# ---- lists of ids


def ids(answer):
    places, payloads = answer
    return {
        name: [task for (page,) in payloads[first:behind] for task in json.loads(page)]
        for name, (first, behind) in places.items()
    }


def by_engine(found):
    lists = yield from listed(found, lambda entry: None if entry.engine is None else str(entry.engine))
    return (yield from pages(lists))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_ids_come_in_the_order_of_submission_on_pages(asked, turns, monkeypatch, count):
    """HUB-01, HUB-03: in whatever order they are met, and once if they are met twice."""
    monkeypatch.setattr(search, "PAGE", 3)
    monkeypatch.setattr(search, "SLICE", -1)
    found = [*entries(count), *entries(count), Entry("c:nowhere", "c", "apply", {}, [], count, 0.0)]
    random.Random(0).shuffle(found)
    in_slices(asked, by_engine(found), turns.append)
    while turns:
        assert asked.answered is None
        turns.pop()()
    wanted = {str(engine): [f"c:{n}" for n in range(engine, count, 2)] for engine in (0, 1)}
    assert ids(asked.answered) == {engine: tasks for engine, tasks in wanted.items() if tasks}
    assert all(len(json.loads(page)) <= 3 for (page,) in asked.answered[1])


def test_no_step_is_long(monkeypatch):
    """Each slice ends soon after its time: there are steps for every entry and for every page."""
    monkeypatch.setattr(search, "PAGE", 10)
    steps = by_engine(entries(1000))
    assert sum(1 for _ in steps) == 1000 + 1000 / 10
