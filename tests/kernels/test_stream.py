"""Messages through a Unix stream socket: whole, in order, whatever interrupts (design, decision 2)."""

import os
import random
import select
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pxkernel.errors import ProtocolError
from pxkernel.protocol import stream as module
from pxkernel.protocol.stream import READ, SHORT, Stream, wait


@pytest.fixture
def ends():
    left, right = socket.socketpair()
    ends = Stream(left), Stream(right)
    yield ends
    for end in ends:
        end.close()


def all_of(end, count):
    """The next ``count`` messages, as bytes."""
    messages = []
    while len(messages) < count:
        assert wait(end, select.POLLIN, 5.0), f"{len(messages)} of {count} messages came"
        messages += [list(map(bytes, frames)) for frames in end.receive()]
    return messages


def carried(ends, messages, last=None):
    """What comes out at the other end while both ends work: as many messages, or up to ``last``."""
    sender, receiver = ends

    def work():
        for frames in messages:
            sender.send(frames)
        assert sender.finish(5.0)

    thread = threading.Thread(target=work)
    thread.start()
    found = all_of(receiver, len(messages) if last is None else 1)
    while last is not None and found[-1] != last:
        found += all_of(receiver, 1)
    thread.join()
    return found


@pytest.mark.parametrize(
    "lengths",
    [
        [0], [1], [5, 0, 7], [0, 0, 0], [SHORT - 1], [SHORT], [10, SHORT, 10, SHORT + 1, 0], [READ], [READ * 3, 0],
        [0, 10**7, 0, 3], [1] * 3000, [0] * (READ // 4),
    ],
)  # fmt: skip
def test_lengths(ends, lengths):
    frames = [os.urandom(min(length, 1000)) * -(-length // min(length, 1000)) if length else b"" for length in lengths]
    frames = [frame[:length] for frame, length in zip(frames, lengths, strict=True)]
    assert carried(ends, [frames, [b"behind"]]) == [frames, [b"behind"]]


def test_many_messages_of_all_sizes(ends):
    chance = random.Random(4)
    sizes = [0, 3, 100, SHORT, READ - 20, READ, 10**6]
    messages = [[chance.randbytes(chance.choice(sizes)) for _ in range(chance.randint(1, 4))] for _ in range(150)]
    assert carried(ends, messages) == messages


def test_buffers_of_all_kinds(ends):
    sender, receiver = ends
    sender.send([b"a", bytearray(b"b"), memoryview(b"c"), memoryview(bytearray(2))])
    assert all_of(receiver, 1) == [[b"a", b"b", b"c", b"\0\0"]]


def test_what_does_not_fit_goes_later_and_tells_when(ends):
    sender, receiver = ends
    gone = []
    assert not sender.send([bytes(10**7)], lambda: gone.append("long"))
    assert sender.unsent and not sender.send([b"next"], lambda: gone.append("short"))
    assert gone == [] and not sender.finish(0.0)
    found = []
    while len(found) < 2:
        sender.flush()
        found += receiver.receive()
    assert [len(frames[0]) for frames in found] == [10**7, 4]
    assert gone == ["long", "short"] and not sender.unsent


def test_the_other_end_goes(ends):
    sender, receiver = ends
    sender.send([b"last"])
    sender.close()
    assert receiver.receive() == [[b"last"]]
    with pytest.raises(EOFError):
        receiver.receive()
    gone = []
    with pytest.raises(OSError):
        receiver.send([b"nobody"], lambda: gone.append(1))
    receiver.drop()
    assert gone == [1] and not receiver.unsent


def test_the_other_end_goes_in_the_middle_of_a_message(ends):
    sender, receiver = ends
    sender.send([bytes(10**7)])
    sender.close()
    with pytest.raises(EOFError):
        while True:
            assert receiver.receive() == []


@pytest.mark.parametrize("head", [b"\xff\xff\xff\xff", b"\x01\0\0\0" + b"\xff" * 8], ids=["frames", "bytes"])
def test_nonsense(ends, head):
    sender, receiver = ends
    sender._socket.send(head + bytes(100))
    with pytest.raises(ProtocolError):
        receiver.receive()


MESSAGES = [[b"one", b"two"], [bytes(3 * SHORT), b"x", bytes(SHORT)], [b"three"]]


def sent_until(sender, stop):
    """Send the messages with a KeyboardInterrupt before the ``stop``-th bytecode of the module.

    Returns those that were begun and those that were not; None: there are not as many bytecodes.
    """
    # In a thread of its own, whose end repairs what Python forgets when a trace function raises in an except clause.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_sent_until, sender, stop).result()


def _sent_until(sender, stop):
    executed = 0

    def trace(frame, event, argument):
        nonlocal executed
        if frame.f_code.co_filename != module.__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            executed += 1
            if executed == stop:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    for index, frames in enumerate(MESSAGES):
        sys.settrace(trace)
        try:
            sender.send(frames)
        except KeyboardInterrupt:
            return MESSAGES[: index + 1], MESSAGES[index + 1 :]
        finally:
            sys.settrace(None)
    return None


def test_an_interrupt_at_any_bytecode_leaves_every_message_whole():
    """The one that was being sent is there once or not at all, and what follows is whole."""
    stop, outcomes = 1, set()
    while True:
        left, right = socket.socketpair()
        # So that parts of a message wait.
        left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        sender, receiver = Stream(left), Stream(right)
        split = sent_until(sender, stop)
        if split is None:
            sender.close()
            receiver.close()
            break
        begun, rest = split
        found = carried((sender, receiver), [*rest, [b"end"]], last=[b"end"])
        assert found in ([*begun, *rest, [b"end"]], [*begun[:-1], *rest, [b"end"]]), stop
        outcomes.add(len(found))
        sender.close()
        receiver.close()
        stop += 1
    assert stop > 100 and len(outcomes) == 2
