"""What is known of one call on one engine."""

import copy
import json
import pickle
from datetime import UTC, datetime

import pytest

from pxkernel.client.records import ExecuteReply, Metadata, Part
from pxkernel.errors import EngineError, RemoteError, TaskAborted
from pxkernel.protocol.messages import DATA
from pxkernel.protocol.pack import pack_result as pack
from pxkernel.protocol.times import stamp

ERROR = {"ename": "ValueError", "evalue": "bad", "traceback": ["line 1", "line 2"], "mro": [["builtins", "ValueError"]]}


@pytest.fixture
def part():
    return Part("s:1", 3, "uuid", "execute", "print(1)", 1, 100.0)


def output(part, msg_type, /, **content):
    return part.add_output(msg_type, [json.dumps(content).encode()])


def result(part, text, count=7):
    output(part, "execute_result", data={"text/plain": text}, metadata={"a": 1}, execution_count=count)


# ---- metadata


def test_the_keys(part):
    assert set(part.metadata()) == {
        "msg_id", "submitted", "started", "completed", "received", "engine_id", "engine_uuid", "status", "follow",
        "after", "label", "execute_input", "execute_result", "error", "stdout", "stderr", "outputs",
        "data",
    }  # fmt: skip


def test_before_the_result(part):
    metadata = part.metadata()
    assert metadata.submitted == datetime(1970, 1, 1, 0, 1, 40, tzinfo=UTC)
    assert metadata.started is metadata.completed is metadata.received is metadata.status is metadata.error is None


def test_after_the_result(part):
    part.finish({"status": "ok", "started": stamp(101.0), "completed": stamp(102.5)}, [], 103.0)
    metadata = part.metadata()
    assert (metadata.completed - metadata.started).total_seconds() == 1.5
    assert (metadata.received - metadata.submitted).total_seconds() == 3.0
    assert metadata.status == "ok"


def test_times_have_a_time_zone(part):
    assert part.metadata().submitted.tzinfo is not None


def test_keys_are_attributes(part):
    assert part.metadata().engine_id == part.metadata()["engine_id"] == 3


def test_unknown_keys(part):
    metadata = part.metadata()
    with pytest.raises(KeyError, match="nonsense"):
        metadata["nonsense"]
    with pytest.raises(AttributeError, match="nonsense"):
        metadata.nonsense
    assert not hasattr(metadata, "__deepcopy__")


def test_keys_can_be_set_and_no_others(part):
    """AR-14"""
    metadata = part.metadata()
    metadata["label"] = "a"
    metadata.status = "ok"
    assert (metadata.label, metadata["status"]) == ("a", "ok")
    with pytest.raises(KeyError, match="nonsense"):
        metadata["nonsense"] = 1
    with pytest.raises(AttributeError, match="nonsense"):
        metadata.nonsense = 1


@pytest.mark.parametrize("old, new", [("pyin", "execute_input"), ("pyout", "execute_result"), ("pyerr", "error")])
def test_old_names(part, old, new):
    part.finish({"status": "error", "error": ERROR}, [], 1.0)
    result(part, "5")
    metadata = part.metadata()
    assert metadata[new] is not None
    assert metadata[old] is metadata[new] is getattr(metadata, old)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_metadata_can_be_copied(part, clone):
    metadata = part.metadata()
    assert clone(metadata) == metadata
    assert isinstance(clone(metadata), Metadata)


def test_the_output_of_a_call(part):
    output(part, "stream", name="stdout", text="a")
    output(part, "stream", name="stderr", text="b")
    output(part, "stream", name="stdout", text="c\n")
    output(part, "display_data", data={"text/plain": "plot"})
    metadata = part.metadata()
    assert (metadata.stdout, metadata.stderr) == ("ac\n", "b")
    assert metadata.outputs == [{"data": {"text/plain": "plot"}}]


def test_a_call_without_code_has_no_input():
    assert Part("s:1", 3, "uuid", "apply", "", 1, 0.0).metadata().execute_input is None


@pytest.mark.parametrize("status, shown", [("ok", "ok"), ("error", "error"), ("aborted", "aborted"), ("died", "error")])
def test_the_status(part, status, shown):
    part.finish({"status": status, "error": ERROR, "reason": "why"}, [], 1.0)
    assert part.metadata().status == shown


# ---- the end of a call


def test_a_call_is_done_when_its_result_is_there(part):
    assert not part.done
    part.finish({"status": "ok"}, [b"pickle"], 1.0)
    assert part.done and part.error is None and part.frames == [b"pickle"]


def test_an_error_on_the_engine(part):
    part.finish({"status": "error", "error": ERROR}, [], 1.0)
    assert isinstance(part.error, RemoteError) and isinstance(part.error, ValueError)
    assert part.error.engine_info == {"engine_id": 3, "engine_uuid": "uuid", "method": "execute"}
    assert part.error.traceback == "line 1\nline 2"


def test_an_engine_that_died(part):
    part.finish({"status": "died", "reason": "engine 3 died"}, [], 1.0)
    assert isinstance(part.error, EngineError) and str(part.error) == "engine 3 died"


def test_a_task_that_was_aborted(part):
    part.finish({"status": "aborted", "reason": "why"}, [], 1.0)
    assert isinstance(part.error, TaskAborted) and str(part.error) == "s:1: why"


def test_items_of_a_map_that_failed(part):
    part.finish({"status": "ok", "failures": [[2, ERROR]]}, [], 1.0)
    assert part.error is None
    assert list(part.failures) == [2] and isinstance(part.failures[2], ValueError)


# ---- output


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_output_is_json_in_any_kind_of_frame(part, wrap):
    part.add_output("stream", [wrap(b'{"name": "stdout", "text": "x"}')])
    assert part.text("stdout") == "x"


def test_output_may_have_buffers(part):
    assert part.add_output("display_data", [b"{}", b"1", b"2"]) == ("display_data", {}, [b"1", b"2"])


def test_the_last_result_counts(part):
    result(part, "1")
    result(part, "2")
    assert part.execute_result["data"] == {"text/plain": "2"}


@pytest.mark.parametrize(
    "printed, text",
    [("a\rb\rc\n", "c\n"), ("10%\r20%", "20%"), ("a\r\nb", "a\nb"), ("x\r", "x"), ("\r", ""), ("a\n\rb\n", "a\nb\n")],
)
def test_a_carriage_return_writes_over_the_line(part, printed, text):
    """AR-15"""
    for character in printed:
        output(part, "stream", name="stdout", text=character)
    assert part.text("stdout") == text


def test_published_data(part):
    """DAT-01, AR-19: the newest value of each name; it is no output."""
    for values in ({"a": 1, "b": 1}, {"a": 2}):
        part.add_output(DATA, [b"{}", *pack(values)])
    assert part.data == part.metadata().data == {"a": 2, "b": 1}
    part.add_output(DATA, [b"{}", *pack({"c": 3})])
    assert part.data == {"a": 2, "b": 1, "c": 3}
    assert part.outputs == []


# ---- ExecuteReply


def test_a_reply_with_a_value(part):
    """DV-23"""
    result(part, "5")
    reply = ExecuteReply(part)
    assert repr(reply) == "Out[3:7]: 5"
    assert reply.data == {"text/plain": "5"} and reply.metadata == {"a": 1} and reply.execution_count == 7


def test_a_value_of_several_lines_begins_on_a_line_of_its_own(part):
    """DV-23"""
    result(part, "[1,\n 2]")
    assert repr(ExecuteReply(part)) == "Out[3:7]: \n[1,\n 2]"


def test_a_reply_without_a_value(part):
    """DV-23"""
    part.finish({"status": "ok", "execution_count": 4}, [], 1.0)
    assert repr(ExecuteReply(part)) == "<ExecuteReply[3:4]>"


def test_a_reply_whose_value_has_no_text(part):
    output(part, "execute_result", data={"image/png": "..."}, metadata={}, execution_count=2)
    assert repr(ExecuteReply(part)) == "<ExecuteReply[3:2]>"


def test_what_a_reply_knows(part):
    """DV-23: what is known of the call, as attributes and as items."""
    output(part, "stream", name="stdout", text="out")
    output(part, "stream", name="stderr", text="err")
    result(part, "5")
    reply = ExecuteReply(part)
    assert (reply.msg_id, reply.engine_id, reply.source) == ("s:1", 3, "print(1)")
    assert (reply.stdout, reply.stderr, reply["stdout"]) == ("out", "err", "out")
    assert reply["execute_result"] == reply.pyout == {"data": {"text/plain": "5"}, "metadata": {"a": 1}, "execution_count": 7}
    assert {"submitted", "engine_uuid", "data"} <= set(dir(reply))
    with pytest.raises(AttributeError, match="'ExecuteReply' object has no attribute 'nonsense'"):
        _ = reply.nonsense
    with pytest.raises(KeyError, match="nonsense"):
        reply["nonsense"]


def test_a_reply_shows_the_richest_form_of_its_value(part):
    """DV-23"""
    output(part, "execute_result", data={"text/plain": "x", "text/html": "<b>x</b>"}, metadata={"a": 1}, execution_count=2)
    bundle = {"text/plain": "Out[3:2]: x", "text/html": "<b>x</b>"}
    assert ExecuteReply(part)._repr_mimebundle_() == (bundle, {"a": 1})


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda reply: pickle.loads(pickle.dumps(reply))])
def test_a_reply_can_be_copied(part, clone):
    """DV-23"""
    result(part, "5")
    assert repr(clone(ExecuteReply(part))) == "Out[3:7]: 5"
    assert clone(ExecuteReply(part)).status is None
