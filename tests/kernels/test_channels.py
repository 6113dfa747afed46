"""The sockets that all kernels share, with sockets in the place of kernels (design, decision 5)."""

import time

import pytest
import zmq
from jupyter_client.session import Session

from pxkernel.kernels.channels import Channels

#: Runs in a process of its own, because what went wrong here ended the process.
DISCONNECT = """
    import sys, tempfile, time
    import zmq
    from jupyter_client.session import Session
    from pxkernel.kernels.channels import Channels

    context = zmq.Context()
    place = tempfile.mkdtemp()
    channels = Channels(context)
    ports = {{f"{{name}}_port": number for number, name in enumerate(("shell", "control", "stdin", "iopub", "hb"))}}
    kernels = []
    for engine in range(2):
        info = dict(ports, transport="ipc", ip=f"{{place}}/k{{engine}}", key="k")
        router, publisher = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
        router.bind(f"ipc://{{info['ip']}}-0")
        publisher.bind(f"ipc://{{info['ip']}}-3")
        channels.connect(engine, 0, info, time.monotonic())
        kernels.append((router, publisher, Session(key=b"k")))
    for router, publisher, session in kernels:
        identity, request = session.recv(router, mode=0)
        # Many messages, so that whatever the order of the sockets is, one of them is half read.
        for _ in range(50):
            session.send(router, "kernel_info_reply", {{}}, parent=request, ident=identity)
            session.send(publisher, "status", {{"execution_state": "idle"}}, parent=request, ident=b"topic")
    {readable}
    channels.disconnect(0)
    end, ready = time.monotonic() + 10, []
    while 1 not in ready and time.monotonic() < end:
        for channel in ("shell", "iopub"):
            ready += [found for found in channels.receive(channel) if isinstance(found, int)]
    print(ready)
    channels.close()
    context.destroy(linger=0)
"""


@pytest.mark.parametrize("readable", ["channels.shell.poll(5000)", "channels.iopub.poll(5000)"])
def test_a_kernel_goes_while_its_messages_arrive(run_python, readable):
    done = run_python(DISCONNECT.format(readable=readable))
    assert done.stdout == "[1]\n" and done.stderr == ""


def test_kernels_with_the_same_session_are_told_apart(tmp_path):
    """By the session of our request: a kernel that echoes it, or has a fixed one, proves nothing with its own."""
    context = zmq.Context()
    channels = Channels(context)
    kernels = []
    for engine in range(2):
        info = {"transport": "ipc", "ip": str(tmp_path / f"k{engine}"), "key": f"key {engine}"}
        info |= {f"{name}_port": number for number, name in enumerate(("shell", "control", "stdin", "iopub"))}
        router, publisher = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
        router.bind(f"ipc://{info['ip']}-0")
        publisher.bind(f"ipc://{info['ip']}-3")
        channels.connect(engine, 0, info, time.monotonic())
        kernels.append((router, publisher, Session(key=info["key"].encode(), session="the same")))
    ready = set()
    end = time.monotonic() + 10
    while ready != {0, 1} and time.monotonic() < end:
        channels.greet(time.monotonic())
        for router, publisher, session in kernels:
            if router.poll(10):
                identity, request = session.recv(router, mode=0)
                session.send(router, "kernel_info_reply", {}, parent=request, ident=identity)
                session.send(publisher, "status", {"execution_state": "idle"}, parent=request, ident=b"topic")
        for channel in ("shell", "iopub"):
            ready |= {found for found in channels.receive(channel) if isinstance(found, int)}
    assert ready == {0, 1}
    for engine in range(2):
        channels.send(engine, "shell", "execute_request", {}, f"cell {engine}")
    for router, publisher, session in kernels:
        _, request = session.recv(router, mode=0)
        session.send(publisher, "stream", {"name": "stdout", "text": "x"}, parent=request, ident=b"topic")
    seen = set()
    while len(seen) < 2 and channels.iopub.poll(10_000):
        seen |= {(message.engine, message.parent["msg_id"]) for message in channels.receive("iopub")}
    assert seen == {(0, "cell 0"), (1, "cell 1")}
    for router, publisher, _ in kernels:
        router.close(linger=0)
        publisher.close(linger=0)
    channels.close()
    context.destroy(linger=0)


def test_they_close_when_the_thread_has_ended_by_itself(monkeypatch):
    """A controller must not stay because of it: to send to nobody would wait for ever."""
    monkeypatch.setattr("pxkernel.kernels.channels._drain_iopub", lambda *args: None)
    with zmq.Context() as context:
        some = Channels(context)
        some._drain.join(10)
        some.close()
