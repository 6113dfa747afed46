"""Payloads in shared memory: what travels, who can open it, and when it is gone (issue 5, point 2)."""

import errno
import gc
import mmap
import os
import resource
import signal
import subprocess
import sys
import threading
from hashlib import sha256

import numpy as np
import pytest
from zmq import Frame

from pxkernel.errors import ProtocolError
from pxkernel.protocol import copying, segments, sharing
from pxkernel.protocol.messages import Finished, Submit
from pxkernel.protocol.pack import pack, unpack
from pxkernel.protocol.segments import Segment
from pxkernel.protocol.sharing import (
    ALONE,
    MARK,
    MOST_ALONE,
    THRESHOLD,
    Lent,
    Shared,
    can_open,
    inlined,
    is_shared,
    load,
    probe,
    share,
    size,
    take,
    take_result,
)  # fmt: skip


def held():
    """The segments that this process has open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}").startswith("/memfd:pxkernel"):
                found.add(int(number))
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_is_left():
    before = held()
    yield
    if held() != before:
        # An exception that a test has seen may be part of a circle.
        gc.collect()
    assert held() == before


def frames(*lengths):
    generator = np.random.default_rng(sum(lengths))
    return [b"\x80head", *(generator.bytes(length) for length in lengths)]


def as_received(payload):
    """What arrives at the other end of a socket."""
    return [bytes(frame) for frame in payload]


# ---- what travels


@pytest.mark.parametrize(
    "lengths",
    [
        (THRESHOLD,),
        (THRESHOLD + 1, 1),
        (4097, THRESHOLD, 0, 5000),
        (ALONE, 10, ALONE + 3, 70_000),
        (ALONE, THRESHOLD, 10),
        (5000,) * 300,
    ],
)
def test_what_is_loaded_is_what_was_shared(lengths):
    sent = frames(*lengths)
    payload = share(sent)
    assert isinstance(payload, Shared) and is_shared(payload)
    assert sum(map(len, payload)) < THRESHOLD
    for received in (payload, as_received(payload), [Frame(frame).buffer for frame in payload], take(as_received(payload))):
        loaded = load(received)
        assert list(map(bytes, loaded)) == sent
        assert size(received) == size(sent) == sum(map(len, sent))
        assert size(loaded) == size(sent)


def test_what_is_small_stays_as_it_is():
    assert share(frames(THRESHOLD - 1)) is None
    assert share([bytes(2 * THRESHOLD)]) is None, "what is interpreted is signed"
    plain = frames(10, 20)
    assert not is_shared(plain) and not is_shared([])
    assert load(plain) == plain
    assert take(plain) is plain


def test_many_arrays_are_one_segment_and_large_ones_have_their_own(monkeypatch):
    """An array that is kept does not keep the memory of a large one that is not."""
    monkeypatch.setattr(sharing, "ALONE", THRESHOLD + 1)
    assert len(share(frames(*[100_000] * 50)).segments) == 1
    assert len(share(frames(THRESHOLD + 1, 20_000, THRESHOLD + 1, THRESHOLD)).segments) == 3
    assert len(share(frames(THRESHOLD + 1, 20_000)).segments) == 1
    many = share(frames(*[THRESHOLD + 1] * (MOST_ALONE + 4)))
    assert len(many.segments) == MOST_ALONE + 1


def test_what_arrives_is_private_and_writable():
    payload = share(frames(THRESHOLD, 10))
    first, second = load(payload), load(as_received(payload))
    first[1][:3] = b"abc"
    assert bytes(second[1][:3]) != b"abc"
    assert bytes(load(payload)[1]) == bytes(second[1])
    for loaded in (first, second):
        assert not any(memoryview(frame).readonly for frame in loaded[1:])


def test_what_is_mapped_needs_no_descriptor_and_outlives_its_segment():
    before = held()
    payload = share(frames(THRESHOLD, 100))
    expected = bytes(load(payload)[1])
    loaded = load(payload)
    assert len(held()) == len(before) + 1
    del payload
    assert held() == before
    assert bytes(loaded[1]) == expected


@pytest.fixture
def four_threads(monkeypatch):
    """Buffers of so few pages are divided among four threads."""
    monkeypatch.setattr(copying, "cores", lambda: 4)
    monkeypatch.setattr(copying, "SHARE", THRESHOLD // 4)


@pytest.mark.parametrize(
    ("lengths", "segment_lengths"),
    [
        ((THRESHOLD,), [THRESHOLD // 4] * 4),
        ((THRESHOLD + 1,), [THRESHOLD // 4 + mmap.PAGESIZE] * 3 + [THRESHOLD // 4 + 1 - 3 * mmap.PAGESIZE]),
        ((ALONE, 10, ALONE), [ALONE // 2] * 4),
        ((ALONE, ALONE * 7), [ALONE, *[ALONE * 7 // 4] * 4]),
        ((5000, 10, THRESHOLD), [-(-5000 // 64) * 64 + 64 + THRESHOLD]),
        ((ALONE,) * 6, [ALONE] * 6),
    ],
)
def test_a_large_buffer_is_filled_by_several_threads(four_threads, lengths, segment_lengths):
    """No segment has two writers; the parts of a buffer are mapped side by side."""
    sent = frames(*lengths)
    payload = share(sent)
    assert sorted(segment.address.size for segment in payload.segments) == sorted(segment_lengths)
    for received in (payload, as_received(payload), take(as_received(payload))):
        loaded = load(received)
        assert list(map(bytes, loaded)) == sent
        assert size(received) == size(sent)
        loaded[-1][:] = bytes(len(loaded[-1]))
    assert list(map(bytes, load(payload))) == sent


def test_mappings_side_by_side_are_unmapped(four_threads):
    def mapped():
        with open("/proc/self/maps") as maps:
            return sum("memfd:pxkernel" in line for line in maps)

    before = mapped()
    loaded = load(share(frames(THRESHOLD)))
    assert mapped() == before + 4
    part = loaded[1][THRESHOLD // 2 :]
    del loaded
    assert mapped() == before + 4
    del part
    assert mapped() == before


def test_one_of_several_threads_finds_no_memory(four_threads, monkeypatch):
    written, pwrite = [], os.pwrite

    def refuse_the_third(*args):
        written.append(args)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "no space")
        return pwrite(*args)

    monkeypatch.setattr(segments.os, "pwrite", refuse_the_third)
    assert share(frames(THRESHOLD)) is None
    written.clear()
    assert share(frames(THRESHOLD)) is None


def test_an_interrupt_while_several_threads_write(four_threads, monkeypatch):
    """Ctrl-C, or the interrupt of a task: nobody goes on writing, and no segment stays."""
    writing = threading.Semaphore(0)

    def write(descriptor, view, offset, stopped):
        writing.release()
        assert stopped.wait(30)
        raise InterruptedError

    def interrupt():
        for _ in range(4):
            writing.acquire()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    monkeypatch.setattr(segments, "_write", write)
    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            share(frames(THRESHOLD))
    finally:
        interrupter.join()


def test_no_thread_can_be_started(four_threads, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert share(frames(THRESHOLD)) is None


def test_a_segment_that_nobody_waits_for_is_not_filled():
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(InterruptedError):
        Segment.create([(0, bytes(10))], stopped)


def test_no_room_for_mappings_side_by_side(four_threads, monkeypatch):
    sent, calls, mapped = frames(THRESHOLD), [], segments._mmap

    def refuse_the_third(*args):
        calls.append(args)
        if len(calls) == 3:
            raise OSError(errno.ENOMEM, "no mapping")
        return mapped(*args)

    monkeypatch.setattr(segments, "_mmap", refuse_the_third)
    assert list(map(bytes, load(share(sent)))) == sent
    assert len(calls) == 3


def test_what_was_sent_may_change():
    array = np.zeros(THRESHOLD)
    payload = share(pack(array))
    array.fill(1)
    assert not unpack(load(payload)).any()


def test_arrays_keep_their_memory():
    payload = share(pack({"a": np.arange(THRESHOLD), "b": np.ones((300, 300), order="F")}))
    found = unpack(load(as_received(payload)))
    del payload
    part = found["a"][5:10]
    found["a"] += 1
    assert part.tolist() == [6, 7, 8, 9, 10]
    del found
    assert part.tolist() == [6, 7, 8, 9, 10]
    assert part.ctypes.data % 8 == 0


def test_memory_is_unmapped():
    def mapped():
        with open("/proc/self/maps") as maps:
            return sum("memfd:pxkernel" in line for line in maps)

    before = mapped()
    payload = share(frames(THRESHOLD))
    loaded = load(payload)
    assert mapped() == before + 1
    del payload
    assert mapped() == before + 1
    del loaded
    assert mapped() == before


def test_who_takes_a_payload_passes_it_on_as_its_own():
    first = share(frames(ALONE, THRESHOLD, 10))
    expected = list(map(bytes, load(first)))
    second = take(as_received(first))
    assert isinstance(second, Shared)
    del first
    assert list(map(bytes, load(as_received(second)))) == expected
    lost = as_received(second)
    del second
    with pytest.raises(ProtocolError, match="is gone"):
        load(lost)


# ---- who can open it


def test_another_process_opens_it():
    payload = share(frames(ALONE, THRESHOLD, 10))
    code = (
        "import sys; from pxkernel.protocol.sharing import load; from hashlib import sha256;"
        "print(sha256(b''.join(load([bytes.fromhex(line) for line in sys.stdin.read().split()]))).hexdigest())"
    )
    text = "\n".join(frame.hex() for frame in payload)
    done = subprocess.run([sys.executable, "-c", code], input=text, text=True, capture_output=True, timeout=60, check=True)
    assert done.stdout.strip() == sha256(b"".join(map(bytes, load(payload)))).hexdigest()


def test_a_number_that_means_another_file():
    payload = share(frames(THRESHOLD))
    received = as_received(payload)
    number = payload.segments[0].address.descriptor
    del payload
    read, write = os.pipe()
    other = os.memfd_create("pxkernel-other", os.MFD_CLOEXEC)
    try:
        # A pipe without a writer: who opens it must not wait.
        os.dup2(read, number)
        with pytest.raises(ProtocolError, match="another file"):
            load(received)
        os.ftruncate(other, THRESHOLD)
        os.dup2(other, number)
        with pytest.raises(ProtocolError, match="another file"):
            load(received)
    finally:
        for descriptor in {read, write, other, number}:
            os.close(descriptor)


def test_what_is_not_sealed_is_not_opened():
    """A private mapping of it would show what is written to it later."""
    descriptor = os.memfd_create("pxkernel-open", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, 10)
        found = os.fstat(descriptor)
        address = segments.Address(os.getpid(), descriptor, found.st_dev, found.st_ino, 10)
        with pytest.raises(ProtocolError, match="not a sealed segment"):
            Segment.open(address)
    finally:
        os.close(descriptor)


def test_a_segment_cannot_be_written_to():
    payload = share(frames(THRESHOLD))
    path = f"/proc/self/fd/{payload.segments[0].address.descriptor}"
    with pytest.raises(OSError) as info:
        os.pwrite(payload.segments[0].address.descriptor, b"x", 0)
    assert info.value.errno == errno.EPERM
    descriptor = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(OSError):
            mmap.mmap(descriptor, 10, mmap.MAP_SHARED, mmap.PROT_WRITE)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("cut", [1, 5, 9, 20, 45, 60])
def test_a_table_that_is_cut_off(cut):
    payload = as_received(share([b"", bytes(THRESHOLD)]))
    assert cut < len(payload[0])
    with pytest.raises(ProtocolError):
        load([payload[0][:cut]])


def test_a_table_that_lies():
    payload = share(frames(THRESHOLD, 10))
    head = bytes(payload[0])
    with pytest.raises(ProtocolError, match="match"):
        load([*payload, b"one frame too many"])
    end = len(head) - len(b"\x80head")
    place = end - 2 * sharing._PLACE.size
    for lie in ((0, THRESHOLD + 4000, 100), (0, 2**63, 2**63), (1, 0, 10), (0, 0, THRESHOLD + 100)):
        lying = head[:place] + sharing._PLACE.pack(*lie) + head[place + sharing._PLACE.size :]
        with pytest.raises(ProtocolError, match="outside"):
            load([lying, *payload[1:]])


# ---- falling back


def test_memory_is_short(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(segments.os, "pwrite", refuse)
    assert share(frames(THRESHOLD)) is None


def test_descriptors_are_short(monkeypatch):
    kept = [share(frames(THRESHOLD)) for _ in range(3)]
    received = as_received(kept[0])
    limit = len(segments._held) * segments.SHARE_OF_DESCRIPTORS
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert share(frames(THRESHOLD)) is None
    taken = take(received)
    assert not is_shared(taken), "it is mapped, which needs no descriptor"
    assert list(map(bytes, taken)) == frames(THRESHOLD)


def test_mappings_are_short(monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOMEM, "no mapping")

    payload = share(frames(THRESHOLD, 10))
    expected = list(map(bytes, load(payload)))
    monkeypatch.setattr(segments, "_map", refuse)
    assert list(map(bytes, load(payload))) == expected


def test_inlined_for_somebody_elsewhere():
    sent = frames(THRESHOLD, 10)
    message = Submit([["apply", {}, [["c:0", 0]]], ["apply", {}, [["c:1", 0]]]], (share(sent), sent))
    found = inlined(message)
    assert [list(map(bytes, payload)) for payload in found.payloads] == [sent, sent]
    assert found.calls == message.calls
    assert inlined(found) is found
    plain = Finished([], ())
    assert inlined(plain) is plain


def test_what_is_gone_is_not_inlined():
    """Its receiver finds out, and its task fails."""
    lost = as_received(share(frames(THRESHOLD)))
    kept = share(frames(THRESHOLD))
    found = inlined(Submit([], (lost, kept)))
    assert found.payloads[0] is lost
    assert list(map(bytes, found.payloads[1])) == frames(THRESHOLD)


def test_a_result_that_is_lost():
    payload = as_received(share(frames(THRESHOLD)))
    record, nothing = take_result({"status": "ok", "started": 1.0, "quiet": True}, payload)
    assert record["status"] == "died" and "is lost" in record["reason"] and record["quiet"]
    assert nothing == ()
    assert take_result({"status": "ok"}, [b"1"]) == ({"status": "ok"}, [b"1"])


# ---- who has it


def test_lent_until_it_is_acknowledged():
    lent, before = Lent(), held()
    payloads = [frames(10), share(frames(THRESHOLD)), frames(20), share(frames(THRESHOLD, 5))]
    sizes = list(map(size, payloads))
    for payload in payloads:
        lent.add(payload, size(payload))
    del payload, payloads
    assert len(held()) == len(before) + 2
    lent.acknowledged(sizes[0])
    lent.acknowledged(sizes[1] - 1)
    assert len(held()) == len(before) + 2
    lent.acknowledged(1)
    assert len(held()) == len(before) + 1
    assert lent.open
    lent.acknowledged(sum(sizes[2:]))
    assert not lent.open


def test_the_probe():
    proof = probe()
    assert can_open(proof[0].hex())
    text = proof[0].hex()
    changed = proof[0][:-1] + bytes([proof[0][-1] ^ 1])
    assert not can_open(changed.hex()), "the same number on another host"
    del proof
    for lie in (text, None, "", "no hexadecimal", MARK.hex(), b"abc".hex()):
        assert not can_open(lie)
    assert not can_open(b"\x80 no shared payload".hex())


def test_no_probe_where_there_is_no_such_memory(monkeypatch):
    monkeypatch.setattr(segments.sys, "platform", "darwin")
    assert probe() is None
