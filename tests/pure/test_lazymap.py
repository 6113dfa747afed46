"""imap: input is taken as results come (MAP-08, MAP-09)."""

from concurrent.futures import Future
from itertools import count

import pytest

from pxkernel.client.lazymap import LazyMap


class Result(Future):
    def get(self, return_exceptions=False):
        return self.exception() if return_exceptions and self.exception() else self.result()


class Engines:
    """What is submitted stays until somebody finishes it."""

    def __init__(self, finish_at_once=False):
        self.calls = []
        self.finish_at_once = finish_at_once

    def submit(self, *args):
        result = Result()
        self.calls.append((args, result))
        if self.finish_at_once:
            self.finish(len(self.calls) - 1)
        return result

    def finish(self, index):
        args, result = self.calls[index]
        if isinstance(args[0], Exception):
            result.set_exception(args[0])
        else:
            result.set_result(args[0])


def lazy(engines, items, most=2, ordered=True, return_exceptions=False):
    return LazyMap(engines.submit, zip(items, strict=False), most, ordered, return_exceptions)


def test_an_endless_input():
    results = lazy(Engines(finish_at_once=True), count())
    assert [next(results) for _ in range(100)] == list(range(100))


def test_so_many_calls_and_no_more():
    engines = Engines()
    results = lazy(engines, count(), most=3)
    assert len(engines.calls) == 3
    engines.finish(0)
    assert next(results) == 0 and len(engines.calls) == 4


def test_any_number_of_calls():
    engines = Engines()
    lazy(engines, range(50), most=0)
    assert len(engines.calls) == 50


def test_in_order():
    engines = Engines()
    results = lazy(engines, range(3), most=3)
    for index in (2, 1, 0):
        engines.finish(index)
    assert list(results) == [0, 1, 2]


def test_as_they_are_done():
    engines = Engines()
    results = lazy(engines, range(3), most=3, ordered=False)
    for index in (2, 0, 1):
        engines.finish(index)
    assert list(results) == [2, 0, 1]


def test_what_is_done_makes_room_although_the_first_is_not():
    """One slow call does not make the other engines wait."""
    engines = Engines()
    results = lazy(engines, count(), most=2)
    engines.finish(1)
    engines.finish(0)
    assert next(results) == 0 and next(results) == 1
    assert len(engines.calls) == 4


@pytest.mark.parametrize("ordered", [True, False])
def test_an_item_that_fails(ordered):
    results = lazy(Engines(finish_at_once=True), [1, ValueError("x"), 3], ordered=ordered)
    assert next(results) == 1
    with pytest.raises(ValueError, match="x"):
        next(results)
    assert list(results) == [3]


def test_exceptions_as_results():
    error = ValueError("x")
    assert list(lazy(Engines(finish_at_once=True), [1, error, 3], return_exceptions=True)) == [1, error, 3]


def test_an_error_of_the_input():
    """MAP-09: it is raised as it is, after the results of what came before."""

    def items():
        yield 1
        yield 2
        raise RuntimeError("no more")

    results = lazy(Engines(finish_at_once=True), items())
    assert [next(results), next(results)] == [1, 2]
    with pytest.raises(RuntimeError, match="no more"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_results_that_nobody_reads_are_bounded(ordered):
    engines = Engines(finish_at_once=True)
    results = lazy(engines, count(), most=4, ordered=ordered)
    for number in range(50):
        assert next(results) == number
        assert len(engines.calls) <= number + 1 + 8


def test_a_reader_that_waits_for_one_keeps_the_engines_busy():
    engines = Engines()

    class Done:
        """Stands for the I/O thread: when the reader waits, calls end, the first one last."""

        def __init__(self):
            self.results = []

        def put(self, result):
            self.results.append(result)

        def empty(self):
            return not self.results

        def get(self):
            if not self.results:
                engines.finish(len(engines.calls) - 1 if len(engines.calls) < 30 else 0)
            return self.results.pop(0)

    results = lazy(engines, count(), most=2)
    results._done = Done()
    for _, result in engines.calls:
        result._done_callbacks[:] = [results._done.put]
    assert next(results) == 0 and len(engines.calls) >= 30


def test_cancel():
    engines = Engines(finish_at_once=True)
    taken = []
    results = lazy(engines, (taken.append(number) or number for number in count()), most=3)
    results.cancel()
    assert list(results) == taken


def test_no_input():
    assert list(lazy(Engines(), [])) == []
