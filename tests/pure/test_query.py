"""Queries over task records: every operator, right also where ipyparallel's is wrong (HUB-04, HUB-05, HUB-11)."""

import pytest

from pxkernel.controller.entries import FIELDS, PAYLOADS, Entry
from pxkernel.controller.query import LOGICAL, OPERATORS, find, wanted_fields
from pxkernel.kernels.channels import KernelMessage


def entry(number, label=None, completed=None, engine=0, kind="apply", terms=None, **fields):
    record = None if completed is None else {"status": "ok", "started": completed - 1, "completed": completed}
    return Entry(
        f"c:{number}", "c", kind, {}, [b"request"], number, 100.0 + number, label, terms, engine, f"uuid-{engine}",
        record=record, received=completed, **fields,
    )  # fmt: skip


ENTRIES = [
    entry(0, "lab-a", completed=10.0),
    entry(1, "lab-b", completed=20.0, engine=1),
    entry(2, "other", completed=30.0),
    entry(3, engine=1),
]


def numbers(query):
    return [found.number for found in find(ENTRIES, query)]


@pytest.mark.parametrize(
    "query, expected",
    [
        ({}, [0, 1, 2, 3]),
        ({"msg_id": "c:1"}, [1]),
        ({"label": None}, [3]),
        ({"completed": None}, [3]),
        ({"engine_id": 1, "label": "lab-b"}, [1]),  # HUB-05: two exact values
        ({"engine_id": 0, "label": "lab-b"}, []),
        ({"completed": {"$lt": 20.0}}, [0]),
        ({"completed": {"$lte": 20.0}}, [0, 1]),
        ({"completed": {"$gt": 20.0}}, [2]),  # HUB-05: $gt is not $lt
        ({"completed": {"$gte": 20.0}}, [1, 2]),
        ({"completed": {"$gt": 10.0, "$lt": 30.0}}, [1]),
        ({"engine_id": {"$eq": 1}}, [1, 3]),
        ({"label": {"$ne": "lab-a"}}, [1, 2, 3]),
        ({"label": {"$in": ["lab-a", None]}}, [0, 3]),
        ({"label": {"$nin": ["lab-a", None]}}, [1, 2]),
        ({"label": {"$all": ["other"]}}, [2]),
        ({"label": {"$all": ["other", "lab-a"]}}, []),
        ({"submitted": {"$mod": [2, 1]}}, [1, 3]),
        ({"label": {"$mod": [2, 1]}}, []),
        ({"completed": {"$exists": True}}, [0, 1, 2]),
        ({"completed": {"$exists": False}}, [3]),
        ({"label": {"$glob": "lab*"}}, [0, 1]),
        ({"label": {"$glob": "LAB*"}}, []),
        ({"label": {"$not": {"$glob": "lab*"}}}, [2, 3]),
        ({"completed": {"$not": {"$lt": 20.0}}}, [1, 2, 3]),
        ({"label": {"$not": "other"}}, [0, 1, 3]),
        ({"$or": [{"label": "other"}, {"engine_id": 1}]}, [1, 2, 3]),
        ({"$and": [{"engine_id": 1}, {"completed": None}]}, [3]),
        ({"$nor": [{"label": "other"}, {"engine_id": 1}]}, [0]),
        ({"$or": [{"$and": [{"engine_id": 0}, {"label": "other"}]}, {"label": None}]}, [2, 3]),
        ({"completed": {"$lt": "text"}}, []),
        ({"label": {"$gt": 1}}, []),
        ({"metadata": {"engine_id": 1, "label": "lab-b", "kind": "apply"}}, [1]),
        ({"status": "ok", "queue": "mux", "client_uuid": "c"}, [0, 1, 2]),
    ],
)
def test_a_query(query, expected):
    assert numbers(query) == expected


def test_every_operator_is_tested():
    text = test_a_query.pytestmark[0].args[1]
    assert all(name in str(text) for name in (*OPERATORS, *LOGICAL))


@pytest.mark.parametrize("query", [{"nosuch": 1}, {"label": {"$le": 1}}, {"label": {"$lt": 1, "x": 2}}, {"$xor": []}])
def test_an_unknown_field_or_operator(query):
    with pytest.raises(KeyError, match="no such (field|operator)"):
        numbers(query)


def test_payloads_cannot_be_compared():
    with pytest.raises(KeyError, match="no such field: 'buffers'"):
        numbers({"buffers": []})


@pytest.mark.parametrize(
    "query, error",
    [
        ({"label": {"$in": "abc"}}, TypeError),
        ({"label": {"$glob": 3}}, TypeError),
        ({"$or": {"label": "x"}}, TypeError),
        ({"submitted": {"$mod": [0, 1]}}, ValueError),
    ],
)
def test_an_operand_of_the_wrong_kind(query, error):
    with pytest.raises(error):
        numbers(query)


def test_a_bad_query_is_told_also_when_there_is_nothing():
    with pytest.raises(KeyError):
        list(find([], {"nosuch": 1}))


# ---- the fields


def test_the_fields_of_ipyparallel_are_there():
    named = (
        "msg_id header metadata content buffers submitted client_uuid engine_uuid started completed received resubmitted "
        "result_header result_metadata result_content result_buffers queue execute_input execute_result error stdout "
        "stderr label"
    )
    assert set(named.split()) <= set(FIELDS)


def test_payloads_come_only_when_asked_for():
    assert PAYLOADS.isdisjoint(wanted_fields(None))
    assert wanted_fields(["result_buffers"]) == ["msg_id", "result_buffers"]
    assert wanted_fields(["label", "msg_id"]) == ["msg_id", "label"]


def test_an_unknown_field_is_not_wanted():
    with pytest.raises(KeyError, match="no such field: 'nosuch'"):
        wanted_fields(["nosuch"])


def values(found):
    return {name: FIELDS[name](found) for name in FIELDS}


def test_the_fields_of_a_task_that_is_not_done():
    got = values(ENTRIES[3])
    nothing = ("started", "completed", "received", "result_header", "result_metadata", "result_content", "status", "error")
    assert all(got[name] is None for name in nothing)
    assert got["header"] == {"msg_id": "c:3", "msg_type": "apply_request", "session": "c", "date": 103.0}


def test_the_fields_of_a_cell():
    cell = Entry("c:9", "c", "cell", {}, [b"x = 1\nx"], 9, 1.0, engine=2, engine_uuid="u")
    for msg_type, content in (
        ("stream", b'{"name": "stdout", "text": "a"}'),
        ("stream", b'{"name": "stderr", "text": "b"}'),
        ("stream", b'{"name": "stdout", "text": "c"}'),
        ("execute_result", b'{"data": {"text/plain": "1"}, "execution_count": 3}'),
    ):
        cell.add_output(KernelMessage(2, msg_type, {"big": "header"}, content, ()))
    cell.record, cell.received = {"status": "error", "error": {"ename": "E", "evalue": "v"}}, 5.0
    got = values(cell)
    assert (got["stdout"], got["stderr"], got["execute_input"]) == ("ac", "b", "x = 1\nx")
    assert got["execute_result"]["data"] == {"text/plain": "1"}
    assert got["content"] == {"code": "x = 1\nx"} and got["header"]["msg_type"] == "execute_request"
    assert got["result_content"] == {"status": "error", "ename": "E", "evalue": "v"}
    assert got["completed"] == 5.0  # a kernel without the extension does not say when
    assert not cell.outputs[0].parent


def test_a_task_whose_engine_died_has_failed():
    dead = entry(0)
    dead.record = {"status": "died", "reason": "engine 0 died"}
    assert FIELDS["status"](dead) == "error"


def test_a_balanced_task_is_told_from_a_direct_one():
    assert FIELDS["queue"](entry(0, terms={"retries": 1})) == "task"
    assert FIELDS["queue"](entry(0)) == "mux"
