"""When what was sent without a copy may be changed again (features AR-36, VW-22)."""

import threading

import numpy as np
import zmq

from pxkernel.client.tracking import SendTracker
from pxkernel.protocol.pack import detached, pack, unpack


def test_not_sent_before_the_socket_has_it():
    tracker = SendTracker()
    assert not tracker.done
    assert tracker.wait(0) is False
    assert tracker.wait(0.01) is False


def test_not_sent_while_the_socket_reads_it():
    tracker, read = SendTracker(), threading.Event()
    tracker.hand_over(zmq.MessageTracker(read))
    assert not tracker.done
    assert tracker.wait(0.01) is False
    read.set()
    assert tracker.done
    assert tracker.wait() is True


def test_what_nobody_will_send_counts_as_sent():
    tracker = SendTracker()
    tracker.hand_over()
    tracker.hand_over()
    assert tracker.done
    assert tracker.wait(-1) is True


def test_waiting_ends_when_it_is_handed_over():
    tracker = SendTracker()
    waiting = threading.Thread(target=tracker.wait)
    waiting.start()
    tracker.hand_over()
    waiting.join(10)
    assert not waiting.is_alive()


def test_detached_frames_do_not_follow_the_array():
    array = np.zeros(10_000)
    shared, own = pack(array), detached(pack(array))
    array[:] = 1
    assert unpack(shared).sum() == 10_000
    assert unpack(own).sum() == 0
