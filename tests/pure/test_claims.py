"""Starting a task and taking it back: one of them is first."""

import threading

from pxkernel.engine.listener import REMEMBERED, Claims


def test_what_was_started_is_not_recalled():
    claims = Claims()
    assert claims.start("a")
    assert claims.recall(["a", "b"]) == ["b"]


def test_what_was_recalled_is_not_started():
    claims = Claims()
    assert claims.recall(["a"]) == ["a"]
    assert not claims.start("a")


def test_what_was_recalled_may_be_sent_again():
    claims = Claims()
    claims.recall(["a"])
    claims.start("a")
    assert claims.start("a")


def test_old_claims_are_forgotten():
    claims = Claims()
    for number in range(3 * REMEMBERED):
        assert claims.start(str(number))
    assert claims.recall([str(3 * REMEMBERED - 1)]) == []
    assert claims.recall(["0"]) == ["0"]


def test_only_one_of_two_threads_gets_a_task():
    claims, tasks, recalled = Claims(), [str(number) for number in range(REMEMBERED)], []
    thread = threading.Thread(target=lambda: recalled.extend(claims.recall(tasks[::-1])))
    thread.start()
    started = [task for task in tasks if claims.start(task)]
    thread.join()
    assert sorted([*started, *recalled]) == sorted(tasks)
