"""What the front makes of messages that have come together (issue 5, point 3)."""

from pxkernel.controller.front import together
from pxkernel.protocol.messages import Finished, InputRequest, Leave, Recalled


def finished(*tasks):
    return Finished([[task, {"status": "ok"}] for task in tasks], tuple([task.encode()] for task in tasks))


def test_reports_of_finished_tasks_in_a_row_are_one():
    assert together([finished("a"), finished("b", "c"), finished("d")]) == [finished("a", "b", "c", "d")]


def test_everything_stays_in_its_order():
    recalled, asks, leaves = Recalled(["x"], []), InputRequest("c", ([b"{}"],)), Leave("gone")
    messages = [finished("a"), finished("b"), recalled, asks, finished("c"), recalled, recalled, finished("d"), finished("e"), leaves]
    expected = [finished("a", "b"), recalled, asks, finished("c"), recalled, recalled, finished("d", "e"), leaves]
    assert together(messages) == expected


def test_one_message_is_that_message():
    alone = finished("a")
    assert together([alone])[0] is alone
    assert together([]) == []
