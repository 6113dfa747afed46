"""The appointments of the core."""

import random

from pxkernel.core.agenda import MANY, Agenda


def test_appointments_are_kept_in_the_order_of_their_times():
    agenda, done = Agenda(), []
    for when in (3.0, 1.0, 2.0, 1.0):
        agenda.at(when, lambda *args: done.append(args), when, len(agenda._heap))
    assert agenda.deadline() == 1.0
    agenda.keep(2.0)
    assert done == [(1.0, 1), (1.0, 3), (2.0, 2)]
    assert agenda.deadline() == 3.0


def test_nothing_is_done_before_its_time():
    agenda, done = Agenda(), []
    agenda.at(1.0, done.append, "x")
    agenda.keep(0.999)
    assert not done
    agenda.keep(1.0)
    agenda.keep(1.0)
    assert done == ["x"] and agenda.deadline() is None


def test_what_is_called_off_does_not_happen():
    agenda, done = Agenda(), []
    first, second = agenda.at(1.0, done.append, 1), agenda.at(2.0, done.append, 2)
    first.call_off()
    first.call_off()
    assert agenda.deadline() == 2.0
    agenda.keep(5.0)
    assert done == [2]
    second.call_off()  # it has happened
    assert agenda.deadline() is None


def test_an_appointment_may_call_off_and_make_others():
    agenda, done = Agenda(), []
    later = agenda.at(2.0, done.append, "later")

    def first():
        later.call_off()
        agenda.at(1.5, done.append, "instead")

    agenda.at(1.0, first)
    agenda.keep(3.0)
    assert done == ["instead"]


def test_those_that_were_called_off_take_no_memory():
    agenda, rng = Agenda(), random.Random(1)
    kept = [agenda.at(1e6 + number, print) for number in range(10)]
    for _ in range(100 * MANY):
        agenda.at(rng.random(), print).call_off()
    assert len(agenda._heap) <= 2 * MANY + len(kept)
    assert agenda.deadline() == 1e6
