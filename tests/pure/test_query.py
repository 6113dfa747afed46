"""Queries over task records: every operator, right also where ipyparallel's is wrong (HUB-04, HUB-05, HUB-11)."""

import random

import pytest

from pxkernel.controller.entries import FIELDS, PAYLOADS, Entry
from pxkernel.controller.query import LOGICAL, OPERATORS, matcher, wanted_fields
from pxkernel.kernels.channels import KernelMessage
from pxkernel.protocol.times import stamp


def entry(number, label=None, completed=None, engine=0, kind="apply", terms=None, **fields):
    record = None if completed is None else {"status": "ok", "started": stamp(completed - 1), "completed": stamp(completed)}
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
    return [entry.number for entry in filter(matcher(query), ENTRIES)]


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
        ({"submitted": {"$mod": [2]}}, ValueError),
        ({"submitted": {"$mod": ["a", 1]}}, ValueError),
        ({"$or": [5]}, TypeError),
        ([], TypeError),
    ],
)
def test_an_operand_of_the_wrong_kind(query, error):
    with pytest.raises(error):
        numbers(query)


def test_a_bad_query_is_told_also_when_there_is_nothing():
    with pytest.raises(KeyError):
        matcher({"nosuch": 1})


# ---- against a plain reading of what the operators mean


def plainly(value, condition):
    if not isinstance(condition, dict):
        return value == condition
    return all(PLAIN[name](value, operand) for name, operand in condition.items())


def both(value, operand):
    if isinstance(value, str) or isinstance(operand, str):
        return isinstance(value, str) and isinstance(operand, str)
    return value is not None and operand is not None


PLAIN = {
    "$eq": lambda value, operand: value == operand,
    "$ne": lambda value, operand: value != operand,
    "$lt": lambda value, operand: both(value, operand) and value < operand,
    "$lte": lambda value, operand: both(value, operand) and value <= operand,
    "$gt": lambda value, operand: both(value, operand) and value > operand,
    "$gte": lambda value, operand: both(value, operand) and value >= operand,
    "$in": lambda value, operand: any(value == item for item in operand),
    "$nin": lambda value, operand: all(value != item for item in operand),
    "$all": lambda value, operand: all(value == item for item in operand),
    "$mod": lambda value, operand: isinstance(value, int | float) and value % operand[0] == operand[1],
    "$exists": lambda value, operand: (value is None) != operand,
    "$glob": lambda value, operand: isinstance(value, str) and value.startswith(operand[:-1]),
    "$not": lambda value, operand: not plainly(value, operand),
}


def holds(found, query):
    results = []
    for name, condition in query.items():
        if name == "$and":
            results.append(all(holds(found, part) for part in condition))
        elif name in ("$or", "$nor"):
            results.append(any(holds(found, part) for part in condition) == (name == "$or"))
        else:
            results.append(plainly(FIELDS[name](found), condition))
    return all(results)


def random_operand(chance, name):
    value = chance.choice([None, 0, 1, 2, 2.5, 100.0, 103.0, "lab-a", "lab-b", "other", "ok"])
    if name in ("$in", "$nin", "$all"):
        return [random_operand(chance, "$eq") for _ in range(chance.randrange(3))]
    if name == "$mod":
        return [chance.choice([1, 2, 3]), chance.choice([0, 1, 2])]
    if name == "$exists":
        return chance.random() < 0.5
    if name == "$glob":
        return chance.choice(["lab*", "l*", "*", "o*"])
    if name == "$not":
        return random_condition(chance)
    return value


def random_condition(chance):
    if chance.random() < 0.3:
        return random_operand(chance, "$eq")
    return {name: random_operand(chance, name) for name in chance.sample(sorted(OPERATORS), chance.choice([1, 1, 2]))}


def random_query(chance, depth=2):
    query = {}
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        if depth and chance.random() < 0.3:
            query[chance.choice(sorted(LOGICAL))] = [random_query(chance, depth - 1) for _ in range(chance.randrange(3))]
        else:
            field = chance.choice(["engine_id", "label", "completed", "submitted", "status", "started", "kind"])
            query[field] = random_condition(chance)
    return query


@pytest.mark.parametrize("seed", range(20))
def test_random_queries(seed):
    """HUB-04, HUB-05: every operator, in every combination."""
    chance = random.Random(seed)
    entries = [
        entry(number, chance.choice([None, "lab-a", "other"]), chance.choice([None, 1.0, 2.0, 100.0]), chance.randrange(3))
        for number in range(30)
    ]
    for _ in range(100):
        query = random_query(chance)
        expected = [found.number for found in entries if holds(found, query)]
        assert [found.number for found in filter(matcher(query), entries)] == expected, query


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
