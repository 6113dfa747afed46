"""Credit."""

import pytest

from pxkernel.protocol.credit import LIMIT, Credit


def test_there_is_credit_at_first():
    assert Credit().free


def test_the_default_limit():
    assert Credit().limit == LIMIT


def test_one_message_is_allowed_whatever_its_size():
    credit = Credit(10)
    assert credit.free
    credit.take(1000)
    assert credit.used == 1000


@pytest.mark.parametrize("used, free", [(9, True), (10, False), (11, False)])
def test_credit_ends_at_the_limit(used, free):
    credit = Credit(10)
    credit.take(used)
    assert credit.free is free


def test_credit_comes_back():
    credit = Credit(10)
    credit.take(12)
    credit.give(2)
    assert not credit.free
    credit.give(1)
    assert credit.free


def test_more_than_was_taken_cannot_come_back():
    credit = Credit(10)
    credit.take(5)
    credit.give(100)
    assert credit.used == 0
