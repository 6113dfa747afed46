"""Results and output on their way to one client."""

import json
import random
from datetime import UTC, datetime

import pytest

from pxkernel.client.records import Part
from pxkernel.controller.book import Book
from pxkernel.controller.kernelmessages import cell_record
from pxkernel.controller.relay import OUTPUT_TYPES, SETTLED_DELAY, Outbox, Relay
from pxkernel.controller.spill import Spill
from pxkernel.controller.store import MemoryStore
from pxkernel.core.core import Core
from pxkernel.core.policies import policy
from pxkernel.errors import TaskAborted
from pxkernel.kernels.channels import KernelMessage
from pxkernel.protocol.messages import Outputs, Results, Settled
from pxkernel.protocol.times import duration, seconds


def message(msg_type="stream", content=b"{}", *buffers):
    return KernelMessage(0, msg_type, {}, content, buffers)


def reply(**content):
    return message("execute_reply", json.dumps(content).encode())


@pytest.fixture
def outbox():
    return Outbox()


# ---- what one turn produces


def test_nothing_has_happened(outbox):
    assert outbox.take() == []


def test_output_keeps_its_order(outbox):
    outbox.add_output("t", message("stream", b"1"))
    outbox.add_output("u", message("display_data", b"2", b"png"))
    assert outbox.take() == [Outputs([["t", "stream", 0], ["u", "display_data", 0]], ([b"1"], [b"2", b"png"]))]


def test_results_go_together(outbox):
    outbox.add_result("t", {"status": "ok"}, [b"1"], 1)
    outbox.add_result("u", {"status": "ok"}, [], 0)
    assert outbox.take() == [Results([["t", {"status": "ok"}], ["u", {"status": "ok"}]], ([b"1"], []))]


def test_output_goes_before_results_and_results_before_what_has_settled(outbox):
    outbox.settle("t", 0.0)
    outbox.add_result("t", {}, [], 0)
    outbox.add_output("t", message())
    assert [type(message) for message in outbox.take()] == [Outputs, Results, Settled]


def test_what_was_taken_is_gone(outbox):
    outbox.add_output("t", message())
    outbox.add_result("t", {}, [], 0)
    outbox.settle("t", 0.0)
    outbox.take()
    assert outbox.take() == []


def test_what_was_taken_does_not_change(outbox):
    outbox.add_result("t", {}, [], 0)
    (taken,) = outbox.take()
    outbox.add_result("u", {}, [], 0)
    assert taken.results == [["t", {}]]


# ---- when it goes


def test_there_is_nothing_to_wait_for(outbox):
    assert outbox.due is None
    outbox.add_result("t", {}, [], 0)
    outbox.take()
    assert outbox.due is None


def test_output_does_not_wait(outbox):
    outbox.add_output("t", message())
    assert outbox.due == 0


def test_results_do_not_wait(outbox):
    outbox.settle("t", 5.0)
    outbox.add_result("t", {}, [], 0)
    assert outbox.due == 0


def test_what_settles_does_not_hold_up_results(outbox):
    outbox.add_result("t", {}, [], 0)
    outbox.settle("t", 5.0)
    assert outbox.due == 0


def test_what_has_settled_waits_a_moment_for_others(outbox):
    outbox.settle("t", 5.0)
    assert outbox.due == 5.0 + SETTLED_DELAY


def test_what_settles_later_does_not_prolong_the_wait(outbox):
    outbox.settle("t", 5.0)
    outbox.settle("u", 5.0 + SETTLED_DELAY)
    assert outbox.due == 5.0 + SETTLED_DELAY


def test_what_settles_next_time_waits_again(outbox):
    outbox.settle("t", 5.0)
    outbox.take()
    outbox.settle("u", 9.0)
    assert outbox.due == 9.0 + SETTLED_DELAY


# ---- output over the budget


def test_nothing_was_dropped(outbox):
    outbox.settle("t", 0.0)
    assert outbox.take() == [Settled([["t", 0]])]


def test_dropped_output_is_counted(outbox):
    outbox.add_dropped("t", 3)
    outbox.add_dropped("t", 6)
    outbox.add_dropped("u", 1)
    outbox.settle("t", 0.0)
    assert outbox.take() == [Settled([["t", 9]])]


def test_dropped_output_is_told_once(outbox):
    outbox.add_dropped("t", 3)
    outbox.settle("t", 0.0)
    outbox.settle("t", 0.0)
    assert outbox.take() == [Settled([["t", 3], ["t", 0]])]


@pytest.mark.parametrize("msg_type", ["status", "execute_input", "comm_msg", "execute_reply", "input_request"])
def test_what_is_no_output(msg_type):
    assert msg_type not in OUTPUT_TYPES


# ---- clients that go


def test_a_client_is_found_to_have_gone_in_between(tmp_path):
    """To give back the credit of a read that is not kept any more, something is sent to it."""
    core = Core(policy("leastload", random.Random(0)))
    book = Book(MemoryStore(2**20), lambda engine: "uuid", lambda *read: None, Spill(tmp_path, 2**30))
    relay = Relay(book, core, lambda event: relay.close("c"), lambda client, message: None)
    relay.open("c")
    book.submitted("c", "apply", {}, [b"call"], [("c:task", 0)])
    book.finished("c:task", 0, {"status": "ok", "quiet": True}, [b"result"])
    book._reads["c:read"] = "forgotten", 10
    relay.deliver("c", ["c:read", "c:task"])
    assert not book.open and book.get("c:task").result == [b"result"]


# ---- the record of a cell


def test_the_record_of_a_cell():
    assert cell_record(reply(status="ok", execution_count=3, payload=[])) == {"status": "ok", "execution_count": 3}


def test_a_kernel_that_does_not_count():
    assert cell_record(reply(status="ok"))["execution_count"] is None


def test_the_record_of_a_cell_that_failed():
    record = cell_record(
        reply(status="error", execution_count=3, ename="KeyError", evalue="'x'", traceback=["line"], user="x")
    )
    assert record["error"] == {
        "ename": "KeyError",
        "evalue": "'x'",
        "traceback": ["line"],
        "mro": [["builtins", "KeyError"]],
    }


def part_of(record):
    part = Part("s:1", 0, "uuid", "execute", "1/0", 1, 0.0)
    part.finish(record, [], 1.0)
    return part


def test_a_client_catches_the_class_of_the_error():
    error = part_of(cell_record(reply(status="error", ename="KeyError", evalue="'x'", traceback=[]))).error
    assert isinstance(error, KeyError)


def test_a_cell_that_a_wrapper_of_another_language_says_was_interrupted():
    error = part_of(cell_record(reply(status="abort", execution_count=3))).error
    assert error.ename == "KeyboardInterrupt"


def test_a_cell_that_the_kernel_aborted():
    """A stock kernel does that to everything that waits when a cell of another front end fails."""
    error = part_of(cell_record(reply(status="aborted", execution_count=3))).error
    assert isinstance(error, TaskAborted)


@pytest.mark.parametrize(
    "started, date",
    [
        ("2020-01-01T00:00:01+00:00", datetime(2020, 1, 1, 0, 0, 3, tzinfo=UTC)),
        ("2020-01-01T00:00:01Z", "2020-01-01T00:00:03Z"),
    ],
)
def test_the_times_of_a_cell(started, date):
    """AR-26: when the kernel began it and when it replied, seconds since the epoch."""
    message = KernelMessage(0, "execute_reply", {}, b'{"status": "ok"}', (), {"date": date}, {"started": started})
    record = cell_record(message)
    assert duration(record) == 2.0
    assert datetime.fromtimestamp(seconds(record, "started"), UTC).second == 1


@pytest.mark.parametrize("metadata", [{}, {"started": None}, {"started": "yesterday"}])
def test_a_kernel_that_does_not_say_when(metadata):
    message = KernelMessage(0, "execute_reply", {}, b'{"status": "ok"}', (), {"date": datetime.now(UTC)}, metadata)
    assert "started" not in cell_record(message)
