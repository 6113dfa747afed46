"""Frames: every message comes back as it was; whatever was changed on the way is a ProtocolError and nothing else."""

import json
import random
from typing import get_args

import numpy as np
import pytest

from pxkernel.errors import ProtocolError
from pxkernel.protocol import messages as m
from pxkernel.protocol.wire import SIGNATURE, Codec

KEY = bytes(range(32))
PAYLOADS = ([b"pickle"], [b"pickle", b"buffer", b""], [b""])

EXAMPLES = [
    m.Hello("client", "s1", 4711, None, {}),
    m.Hello("engine", "s2", 4711, 3, {"connection": {"ip": "x", "shell_port": 1}}),
    m.Welcome(3, [{"id": 0, "pid": None}], {"cluster_id": ""}),
    m.Refused("the cluster is stopping"),
    m.Submit([["apply", {}, [["s1:1", 0], ["s1:2", 1]]], ["cell", {"silent": False}, []], ["map", {}, []]], PAYLOADS),
    m.Abort(["s1:1"]),
    m.Interrupt([]),
    m.Interrupt(["a:1"], True),
    m.Ask(1, "stop", {"now": True}, ["s1:1"]),
    m.Answer(1, [1.5, "ä\u2028😀"], None),
    m.Answer(2, None, {"ename": "KeyError", "evalue": "'no'", "mro": [["builtins", "KeyError"]]}),
    m.Answer(3, {"tasks": ["t"]}, None, ([b"pickle", b"buffer"], [])),
    m.Results([["s1:1", {"status": "ok", "started": 1.25}]] * 3, PAYLOADS),
    m.Outputs([["s1:1", "stream"]] * 3, PAYLOADS),
    m.Settled([["s1:1", 0]]),
    m.EnginesChanged([{"id": 4}], [[3, "died"]], [2], {"expected": 4, "coming": 1}),
    m.Run([["s1:1", "apply", {}]] * 3, PAYLOADS),
    m.Recall(["s1:1"]),
    m.Release("the cluster stops"),
    m.Finished([["s1:1", {"status": "error", "error": {"mro": [["builtins", "KeyError"]]}}]] * 3, PAYLOADS),
    m.Recalled(["s1:1"], ["s1:2"]),
    m.Started(["s1:1"]),
    m.InputRequest("s1:1", ([b'{"prompt": "name? "}'],)),
    m.InputReply("s1:1", ([b'{"value": ""}'],)),
    m.Leave("closed"),
    m.Ack(2**40),
]


@pytest.fixture
def codec():
    return Codec(KEY)


def name(message):
    return type(message).__name__


def listed(payloads):
    return [[bytes(frame) for frame in payload] for payload in payloads]


def rejected(codec, frames):
    with pytest.raises(ProtocolError):
        codec.decode(frames)


def signed(codec, header, *frames):
    """What somebody with the key could send, whatever the header says."""
    return [codec._sign(header, [[frame] for frame in frames]) + header, *frames]


# ---- there and back


def test_there_is_an_example_of_every_message():
    assert {type(message) for message in EXAMPLES} == set(get_args(m.Message))


@pytest.mark.parametrize("cls", get_args(m.Message), ids=lambda cls: cls.__name__)
def test_messages_are_frozen(cls):
    message = next(message for message in EXAMPLES if type(message) is cls)
    with pytest.raises(AttributeError):
        setattr(message, cls._fields[0], None)


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_a_message_comes_back(codec, message):
    back = codec.decode(codec.encode(message))
    assert type(back) is type(message)
    for field, expected, found in zip(message._fields, message, back, strict=True):
        assert (listed(found) == listed(expected)) if field == "payloads" else (found == expected)


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_a_message_comes_back_from_the_buffers_of_zmq(codec, message):
    back = codec.decode([memoryview(frame) for frame in codec.encode(message)])
    assert listed(getattr(back, "payloads", ())) == listed(getattr(message, "payloads", ()))


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_the_header_is_json(codec, message):
    assert json.loads(codec.encode(message)[0][SIGNATURE:])[0] == name(message)


@pytest.mark.parametrize(
    "buffer", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), np.arange(5, dtype=np.uint8), b""], ids=repr
)
def test_buffers_travel_as_they_are(codec, buffer):
    frames = codec.encode(m.Run([["t", "apply", {}]], ([b"pickle", buffer],)))
    assert frames[2] is buffer
    (payload,) = codec.decode(frames).payloads
    assert bytes(payload[1]) == bytes(buffer)


def test_the_first_frame_may_be_a_memoryview(codec):
    back = codec.decode(codec.encode(m.Run([["t", "apply", {}]], ([memoryview(b"pickle")],))))
    assert listed(back.payloads) == [[b"pickle"]]


def test_a_payload_may_have_no_frame(codec):
    back = codec.decode(codec.encode(m.Results([["t", {}], ["u", {}]], ([], [b"x"]))))
    assert listed(back.payloads) == [[], [b"x"]]


def test_a_large_message_comes_back(codec):
    large = b"x" * 200_000
    assert listed(codec.decode(codec.encode(m.Run([["t", "", {}]], ([large],)))).payloads) == [[large]]


def test_a_thousand_tasks_in_one_message(codec):
    tasks = [[f"t{i}", "apply", {}] for i in range(1000)]
    back = codec.decode(codec.encode(m.Run(tasks, tuple([b"%d" % i, b"x"] for i in range(1000)))))
    assert back.tasks == tasks
    assert listed(back.payloads)[999] == [b"999", b"x"]


# ---- what is not ours


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_a_wrong_key(codec, message):
    rejected(codec, Codec(b"another").encode(message))


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_a_changed_header(codec, message):
    first, *frames = codec.encode(message)
    rejected(codec, [first[:SIGNATURE] + first[SIGNATURE:].replace(b'["', b'[ "', 1), *frames])
    rejected(codec, [first + b" ", *frames])


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_bytes_that_moved_from_the_header_to_a_pickle(codec, message):
    first, *frames = codec.encode(message)
    if frames:
        rejected(codec, [first[:-1], first[-1:] + bytes(frames[0]), *frames[1:]])
        rejected(codec, [first + bytes(frames[0])[:1], bytes(frames[0])[1:], *frames[1:]])
    else:
        rejected(codec, [first[:-1], first[-1:]])


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_a_missing_frame(codec, message):
    frames = codec.encode(message)
    for index in range(len(frames)):
        rejected(codec, frames[:index] + frames[index + 1 :])


@pytest.mark.parametrize("message", EXAMPLES, ids=name)
def test_an_extra_frame(codec, message):
    frames = codec.encode(message)
    for index in range(len(frames) + 1):
        rejected(codec, [*frames[:index], b"extra", *frames[index:]])


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_changed_pickle(codec, size):
    frames = codec.encode(m.Run([["t", "", {}]], ([b"a" * size, b"buffer"],)))
    frames[1] = b"a" * (size - 1) + b"b"
    rejected(codec, frames)


@pytest.mark.parametrize("size", [1, 100_000])
def test_bytes_that_moved_from_one_pickle_to_the_next(codec, size):
    frames = codec.encode(m.Run([["t", "", {}], ["u", "", {}]], ([b"a" * size], [b"b" * size])))
    frames[1:] = [b"a" * size + b"b", b"b" * (size - 1)]
    rejected(codec, frames)


def test_pickles_that_changed_places(codec):
    frames = codec.encode(m.Run([["t", "", {}], ["u", "", {}]], ([b"a"], [b"b"])))
    rejected(codec, [frames[0], *reversed(frames[1:])])


def test_buffers_are_not_signed(codec):
    """Documented: they are raw data that nobody interprets."""
    frames = codec.encode(m.Run([["t", "", {}]], ([b"pickle", b"buffer"],)))
    assert listed(codec.decode([*frames[:2], b"BUFFER"]).payloads) == [[b"pickle", b"BUFFER"]]


@pytest.mark.parametrize("frames", [[], [b""], [b"", b""], [b"x" * 32 + b"null"], [b"x" * 32, b"[]", b""]], ids=repr)
def test_frames_that_are_none(codec, frames):
    rejected(codec, frames)


NO_HEADERS = [
    b"", b"x", b"\xff\xfe\x00", b"\x00", b"null", b"true", b"1", b'"Submit"', b"{}", b"[]", b'["Abort"]', b"[1, 2]",
    b'["Unknown", []]', b"[[], []]", b'[{}, []]', b'["Abort", []]', b'["Abort", [1, 2]]', b'["Abort", null]',
    b'["Abort", 1]', b'{"0": "Abort", "1": []}', b'["Submit", [[]], [-1]]', b'["Submit", [[]], [-1, 1]]',
    b'["Submit", [[]], [1.0]]', b'["Submit", [[]], [NaN]]', b'["Submit", [[]], [1e999]]', b'["Submit", [[]], ["1"]]',
    b'["Submit", [[]], 5]', b'["Submit", [[]], {"a": 1}]', b'["Submit", [[]], [99999999999999999999999]]',
    b'["Submit", [[], []], []]', b'["Ack", [' + b"9" * 5000 + b"]]", b"[" * 200_000, b'{"a":' * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("header", NO_HEADERS, ids=lambda header: repr(header[:40]))
def test_headers_that_are_none(codec, header):
    rejected(codec, [b"unsigned".ljust(SIGNATURE) + header])
    rejected(codec, signed(codec, header))


def test_the_text_of_a_wrong_signature(codec):
    with pytest.raises(ProtocolError, match="wrong signature"):
        codec.decode(Codec(b"another").encode(m.Ack(1)))


def test_the_text_of_a_missing_frame(codec):
    with pytest.raises(ProtocolError, match="not as long as announced"):
        codec.decode(codec.encode(m.Run([["t", "", {}]], ([b"pickle", b"buffer"],)))[:-1])


@pytest.mark.parametrize("change", [lambda frame: frame + b"!", lambda frame: frame[:-1], lambda frame: b""])
def test_a_buffer_of_another_length_is_refused(codec, change):
    """What follows a long string in a pickle is code: nobody may append to it."""
    frames = codec.encode(m.Run([["t", "", {}]], ([b"pickle", b"buffer"],)))
    with pytest.raises(ProtocolError):
        codec.decode([*frames[:2], change(frames[2])])


def _damage(frames, rng):
    """Change frames so that what is signed is never the same."""
    frames = [bytes(frame) for frame in frames]
    match rng.randrange(5):
        case 0:
            index = rng.randrange(len(frames))
            if not frames[index]:
                return [*frames, b""]
            position = rng.randrange(len(frames[index]))
            flipped = bytes([frames[index][position] ^ (1 << rng.randrange(8))])
            frames[index] = frames[index][:position] + flipped + frames[index][position + 1 :]
        case 1:
            del frames[rng.randrange(len(frames))]
        case 2:
            frames.insert(rng.randrange(len(frames) + 1), rng.randbytes(rng.randrange(40)))
        case 3:
            frames[0] = rng.randbytes(rng.randrange(80))
        case 4:
            frames[0] = frames[0][: rng.randrange(len(frames[0]))]
    return frames


@pytest.mark.parametrize("seed", range(5))
def test_damaged_messages(codec, seed):
    rng = random.Random(seed)
    for _ in range(300):
        message = rng.choice(EXAMPLES)
        payloads = getattr(message, "payloads", ())
        if any(len(payload) > 1 for payload in payloads):
            message = message._replace(payloads=([b"pickle"], [b"x"]))
        rejected(codec, _damage(codec.encode(message), rng))


@pytest.mark.parametrize("seed", range(5))
def test_garbage(codec, seed):
    rng = random.Random(seed)
    for _ in range(500):
        rejected(codec, [rng.randbytes(rng.randrange(60)) for _ in range(rng.randrange(6))])


@pytest.mark.parametrize("seed", range(5))
def test_signed_garbage(codec, seed):
    """Somebody with the key and a broken program: random JSON where a message should be."""
    rng = random.Random(seed)
    words = [None, True, -1, 0, 1, 2, 1.5, "Submit", "Ack", "", [], {}]

    def value(depth):
        if depth == 0 or rng.random() < 0.3:
            return rng.choice(words)
        return [value(depth - 1) for _ in range(rng.randrange(4))]

    for _ in range(500):
        header = json.dumps([rng.choice(words), value(2), value(2)]).encode()
        frames = [b"x"] * rng.randrange(4)
        try:
            codec.decode(signed(codec, header, *frames))
        except ProtocolError:
            pass
