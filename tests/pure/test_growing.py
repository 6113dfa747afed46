"""The future of a map whose tasks are submitted as others finish (MAP-02, MAP-05 to MAP-07)."""

from collections import deque
from itertools import count

import pytest

import pxkernel as px
from pxkernel.client.chunks import GROWTH, Chunks
from pxkernel.client.growing import GrowingMapResult
from pxkernel.client.records import Part
from pxkernel.errors import EngineError
from pxkernel.protocol.bundle import unbundle
from pxkernel.protocol.pack import pack_result, unpack
from pxkernel.protocol.times import stamp


class Client:
    """What is submitted waits until ``step`` or ``run`` does it."""

    directory = "here"

    def __init__(self, seconds=1e-4):
        self.seconds = seconds
        self.queue = deque()
        self.numbers = count()
        self.most = 0
        self.lost = None

    def namespace(self):
        return {"__name__": "__main__"}

    def refuse_io_thread(self):
        pass

    def look_out(self):
        pass

    def submit(self, tasks, make):
        if self.lost is not None:
            raise EngineError(self.lost)
        parts = [Part(f"s:{next(self.numbers)}", None, "", "apply", "", size, 0.0) for _, size in tasks]
        result = make(self, parts)
        self.queue.extend((result, part, payload) for part, (payload, _) in zip(parts, tasks, strict=True))
        self.most = max(self.most, len(self.queue))
        return result

    def step(self, index=0):
        self.queue.rotate(-index)
        result, part, payload = self.queue.popleft()
        self.queue.rotate(index)
        (function, _, _), *grains = (unpack(frames) for frames, _ in unbundle(payload))
        values, failures = [], []
        for position, items in enumerate(items for columns in grains for items in zip(*columns, strict=True)):
            try:
                values.append(function(*items))
            except Exception as error:
                values.append(None)
                failures.append([position, describe(error)])
        seconds = self.seconds * part.size
        record = {"status": "ok", "started": 0, "completed": stamp(seconds), "failures": failures, "quiet": True}
        part.settled = True
        result._finish_part(part, record, pack_result(values))

    def run(self):
        while self.queue:
            self.step()


def describe(error):
    return {"ename": type(error).__name__, "evalue": str(error), "traceback": [], "mro": [["builtins", type(error).__name__]]}


def invert(x):
    return 1 / x


@pytest.fixture
def client():
    return Client()


def start(client, f, length, return_exceptions=False, ordered=True, first=0, engines=4):
    chunks = Chunks(f, [range(first, first + length)], length, engines)
    tasks = [chunks.take() for _ in range(min(chunks.most_ahead, chunks.left))]
    return client.submit(
        tasks,
        lambda c, parts: GrowingMapResult(c, parts, "f", chunks, client.submit, return_exceptions, ordered),
    )


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 1000, 20_000])
def test_all_results_in_order(client, length):
    result = start(client, abs, length)
    assert len(result) == length
    client.run()
    assert result.get() == list(range(length)) and result.progress == length


def test_few_tasks_are_on_the_way(client):
    start(client, abs, 1000)
    client.run()
    assert client.most == 8


def test_it_is_done_when_all_is_done(client):
    result = start(client, abs, 100)
    while client.queue:
        assert not result.done() and result.progress < 100
        client.step()
    assert result.done()


def test_results_come_early(client):
    result = start(client, abs, 10_000)
    items = iter(result)
    client.step()
    assert next(items) == 0
    client.run()
    assert list(items) == list(range(1, 10_000))


def test_in_the_order_in_which_they_are_done(client):
    result = start(client, abs, 100, ordered=False)
    client.step(3)
    client.step(1)
    client.run()
    found = list(result)
    assert found[:2] == [3, 1] and sorted(found) == list(range(100))
    assert result.get() == list(range(100))


def test_a_failing_item_costs_its_own_result(client):
    """MAP-05, MAP-06."""
    result = start(client, invert, 100, first=-50)
    client.run()
    with pytest.raises(px.CompositeError) as caught:
        result.get()
    assert len(caught.value.exceptions) == 1
    values = result.get(return_exceptions=True)
    assert isinstance(values[50], ZeroDivisionError)
    assert values[:50] + values[51:] == [1 / x for x in range(-50, 50) if x]


def test_exceptions_as_results(client):
    result = start(client, invert, 10, return_exceptions=True)
    client.run()
    assert isinstance(result.get()[0], ZeroDivisionError) and result.successful()


def test_what_was_not_submitted_is_aborted(client):
    result = start(client, abs, 1000)
    client.step()
    result._withdraw()
    client.run()
    assert result.done() and len(result) == 1000
    values = result.get(return_exceptions=True)
    done = [value for value in values if not isinstance(value, px.TaskAborted)]
    assert len(values) == 1000 and done == list(range(len(done))) and 8 <= len(done) <= 8 + GROWTH
    with pytest.raises(px.CompositeError):
        result.get()


def test_the_cluster_goes(client):
    result = start(client, abs, 1000)
    client.lost = "it has ended"
    client.run()
    values = result.get(return_exceptions=True)
    assert len(values) == 1000 and all(isinstance(value, EngineError) for value in values[8:])


def test_splitting_submits_the_rest(client):
    result = start(client, abs, 1000)
    parts = result.split()
    assert not result._chunks.left
    client.run()
    assert [item for part in parts for item in part.get()[0]] == list(range(1000))


def test_a_dependency_submits_the_rest(client):
    result = start(client, abs, 1000)
    dependency = px.Dependency(result)
    assert dependency == set(result.msg_ids) and sum(part.size for part in result._parts) == 1000
