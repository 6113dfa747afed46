"""The sockets that all kernels share, with sockets in the place of kernels (design, decision 5)."""

import pytest

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
