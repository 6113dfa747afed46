"""Calls by their ids and indices (features RC-16, RC-18)."""

from concurrent.futures import Future
from weakref import WeakValueDictionary

import pytest

from pxkernel.client.jobs import Jobs, call_at


@pytest.fixture
def jobs():
    jobs = Jobs()
    jobs.history = ["me:0", "me:1"]
    jobs._session, jobs._submitted = "me", 2
    jobs._pending, jobs._known = {}, WeakValueDictionary()
    return jobs


def test_indices():
    assert [call_at(["a", "b"], index) for index in (0, 1, -1, -2)] == ["a", "b", "b", "a"]


@pytest.mark.parametrize("index, error", [(2, IndexError), (-3, IndexError), (True, TypeError)])
def test_no_index(jobs, index, error):
    """RC-16: an error that says what it means, as with ``get_result`` (RC-22)."""
    for use in (lambda: call_at(jobs.history, index), lambda: jobs.wait(index), lambda: jobs.wait([index])):
        with pytest.raises(error, match="index"):
            use()


def test_waiting_for_what_is_done(jobs):
    """RC-16: of which nobody holds the result any more."""
    assert jobs.wait("me:1") and jobs.wait(0) and jobs.wait([]) and jobs.wait()
    with pytest.raises(KeyError, match="no such message: me:2"):
        jobs.wait("me:2")


@pytest.mark.parametrize("job", [1.5, [1.5], object(), {"a": 1}.items()])
def test_what_is_no_job(jobs, job):
    """RC-16: junk does not count as done."""
    with pytest.raises(TypeError, match="expected an AsyncResult, a Future, a message id or an index, got"):
        jobs.wait(job)


def test_no_timeout(jobs):
    """RC-16, RC-17"""
    for wait in (jobs.wait, jobs.wait_interactive):
        with pytest.raises(TypeError, match="timeout must be a number"):
            wait(Future(), timeout="x")
