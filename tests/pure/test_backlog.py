"""Submissions that wait at the client for credit, and are taken back there (CTL-03; design, decision 11)."""

import pytest

from pxkernel.client.backlog import BATCH, Backlog
from pxkernel.client.tracking import SendTracker
from pxkernel.protocol.messages import Submit


def call(*tasks, size=10, terms=()):
    return Submit([["apply", {}, [[task, 0] for task in tasks], *terms]], ([bytes(size)],))


@pytest.fixture
def backlog():
    return Backlog()


def sent(backlog):
    return [[task for _, _, targets, *_ in message.calls for task, _ in targets] for message, _ in backlog.due()]


def test_what_has_credit_goes_in_one_message(backlog):
    for number in range(3):
        backlog.add(call(number), None)
    assert sent(backlog) == [[0, 1, 2]]
    assert backlog.credit.used == 30 and sent(backlog) == []


def test_a_message_has_so_many_calls(backlog):
    for number in range(BATCH + 1):
        backlog.add(call(number), None)
    assert list(map(len, sent(backlog))) == [BATCH, 1]


def test_without_credit_it_waits(backlog):
    backlog.add(call("large", size=backlog.credit.limit), None)
    backlog.add(call("1"), None)
    assert sent(backlog) == [["large"]]
    backlog.credit.give(5)
    assert sent(backlog) == [["1"]]


def test_trackers_go_along(backlog):
    tracker = SendTracker()
    backlog.add(call("1"), tracker)
    backlog.add(call("2"), None)
    ((_, trackers),) = backlog.due()
    assert trackers == [tracker] and not tracker.done


def test_what_is_withdrawn_does_not_go(backlog):
    tracker, kept = SendTracker(), SendTracker()
    backlog.add(call("1", "2"), kept)
    backlog.add(call("3"), tracker)
    backlog.add(call("4", terms=[{"retries": 1}]), None)
    assert backlog.withdraw({"2", "3", "unknown"}) == ["2", "3"]
    assert tracker.done and not kept.done
    ((message, _),) = backlog.due()
    assert message.calls == [["apply", {}, [["1", 0]]], ["apply", {}, [["4", 0]], {"retries": 1}]]
    assert len(message.payloads) == 2


def test_what_has_gone_cannot_be_withdrawn(backlog):
    backlog.add(call("1"), None)
    sent(backlog)
    assert backlog.withdraw({"1"}) == []


def test_at_the_end_nobody_waits_for_a_tracker(backlog):
    tracker = SendTracker()
    backlog.add(call("1"), tracker)
    backlog.clear()
    assert tracker.done and sent(backlog) == []
