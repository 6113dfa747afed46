"""Start kernels by forking a process that has already imported them. Linux only.

A stock kernel spends most of its start importing. `ForkServer` runs one process that imports once
(`_forkserver_main.py`) and forks it for every kernel. Start it early: this module imports only cheap parts of the
standard library, so that the caller can start the server first and do its own imports meanwhile.

What travels, one JSON object per line over a Unix socket pair:

    client → server   {"id", "argv", "env", "cwd", "log"}
    server → client   {"id", "pid"} with the child's pidfd attached, or {"id", "error": [errno, text, file name]}
                      {"exit": pid, "code": as in Popen.returncode}

The pidfd outlives the server: with it, the end of a kernel is seen and signals reach the right process even when nobody
is left to report the exit code.
"""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

SERVER_COMMAND = (sys.executable, "-Xfrozen_modules=off", "-m", "pxkernel.kernels._forkserver_main")

# The exit code of a kernel that ended after its server: only the parent learns it. asyncio and multiprocessing
# report 255 in the same situation; a negative number would name a signal.
UNKNOWN_EXIT_CODE = 255

CLOSE_SECONDS = 2.0
LOG_TAIL_BYTES = 4000


class ForkServerError(RuntimeError):
    """The fork server ended; the message holds the end of its log."""


class ForkedProcess:
    """One forked kernel: the part of `subprocess.Popen` that a kernel provisioner uses.

    `wait` is a coroutine function; everything else is synchronous and never blocks.
    """

    def __init__(self, server: "ForkServer", pid: int, pidfd: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._pidfd = pidfd

    def __del__(self) -> None:
        if self.returncode is None:
            os.close(self._pidfd)

    def poll(self) -> int | None:
        """The exit code (negative: the signal; `UNKNOWN_EXIT_CODE`: the server ended first), None while it runs."""
        if self.returncode is None:
            self._server._exchange()
        if self.returncode is None and not self._server.alive and is_readable(self._pidfd):
            self._ended(UNKNOWN_EXIT_CODE)
        return self.returncode

    async def wait(self) -> int:
        """The exit code, as soon as there is one."""
        if self.poll() is None:
            await until_readable(self._pidfd)
        # The process is gone, its exit code is on the way from the server (or the server is gone as well).
        while self.poll() is None:
            await until_readable(self._server.fileno())
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, signum: int) -> None:
        """Signal the kernel's process group, or the kernel alone while it has none yet. Nothing if it has ended."""
        if self.poll() is not None:
            return
        try:
            os.killpg(self.pid, signum)
        except ProcessLookupError:
            try:
                signal.pidfd_send_signal(self._pidfd, signum)
            except ProcessLookupError:
                pass  # It ended just now; as with Popen, that is not an error.

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, code: int) -> None:
        self.returncode = code
        os.close(self._pidfd)


class ForkServer:
    """The client of one fork server. All calls come from one thread; event loops may follow one another."""

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        log: str | os.PathLike[str] | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        """`env` is what the server starts with (default: ours), `log` the file for what it prints (default: memory).

        `preload` names modules that it loads beside its own list; what cannot be loaded is told in the log.
        """
        self.preload = tuple(preload)
        self.env = dict(os.environ if env is None else env)
        # An engine does not depend on the process that asked for it.
        self.env.pop("JPY_PARENT_PID", None)
        self._log_path = log
        self._log_fd = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lost = False
        self._to_send = bytearray()
        self._received = b""
        self._received_fds: list[int] = []
        self._last_id = 0
        self._requests: dict[int, asyncio.Future[ForkedProcess]] = {}
        self._processes: dict[int, ForkedProcess] = {}
        self._loop: asyncio.AbstractEventLoop | None = None  # the one that watches the socket now

    @property
    def alive(self) -> bool:
        """Started, and neither closed nor found dead."""
        return self._socket is not None and not self._lost

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def fileno(self) -> int:
        assert self._socket is not None
        return self._socket.fileno()

    def start(self) -> None:
        """Start the server process, if it is not started. Needs no event loop and returns at once."""
        if self._process is not None:
            return
        if self._log_path is None:
            self._log_fd = os.memfd_create("forkserver-log")
        else:
            self._log_fd = os.open(self._log_path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        with theirs:
            # cwd: `-m` looks in the working directory first, and the user's may contain a numpy.py.
            # A session of its own: the Ctrl-C of a terminal is not meant for the server.
            self._process = subprocess.Popen(
                [*SERVER_COMMAND, str(theirs.fileno()), *self.preload],
                cwd="/",
                env=self.env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=self._log_fd,
                stderr=self._log_fd,
            )
        atexit.register(self.close)

    async def spawn(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        log: str | os.PathLike[str] | None = None,
    ) -> ForkedProcess:
        """Fork a process that behaves as `argv` = `python [-X...] -m module args...` would.

        Its output is appended to the file `log` (default: discarded). Raises what `Popen` would raise for a bad
        directory or log file, and `ForkServerError` when the server has ended.
        """
        from asyncio import get_running_loop  # whoever awaits has paid for asyncio; whoever only starts need not

        self.start()
        if not self.alive:
            raise ForkServerError("the fork server was closed") if self._socket is None else self._death()
        self._last_id = request_id = self._last_id + 1
        request = {
            "id": request_id,
            "argv": list(argv),
            "env": dict(os.environ if env is None else env),
            "cwd": os.path.abspath(cwd or "."),
            "log": os.path.abspath(log or os.devnull),
        }
        self._to_send += json.dumps(request).encode() + b"\n"
        loop = get_running_loop()
        reply = self._requests[request_id] = loop.create_future()
        self._watch(loop)
        try:
            return await reply
        finally:
            # A process that arrives for a request that is no longer here is killed: see _handle().
            del self._requests[request_id]
            if not self._requests:
                self._unwatch(loop)

    def close(self) -> None:
        """End the server. The kernels that it started live on, and are still polled, waited for and signalled."""
        if self._process is None or self._socket is None:
            return
        atexit.unregister(self.close)
        self._exchange()
        if self._loop is not None:
            self._unwatch(self._loop)
        self._lose(ForkServerError("the fork server was closed"))
        self._socket.close()
        self._socket = None
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._log_fd)

    def _watch(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Let the loop serve the socket. Only while a request is open: at all other times poll() reads it."""
        assert self._socket is not None
        self._loop = loop
        loop.add_reader(self._socket, self._exchange)
        loop.add_writer(self._socket, self._flush, loop)

    def _unwatch(self, loop: "asyncio.AbstractEventLoop") -> None:
        self._loop = None
        if self._socket is not None:
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)

    def _flush(self, loop: "asyncio.AbstractEventLoop") -> None:
        self._exchange()
        if not self._to_send and self._socket is not None:
            loop.remove_writer(self._socket)

    def _exchange(self) -> None:
        """Send and receive what is possible without waiting, and act on what was received."""
        while self.alive:
            assert self._socket is not None
            try:
                if self._to_send:
                    del self._to_send[: self._socket.send(self._to_send)]
            except BlockingIOError:
                pass
            except OSError:
                self._to_send.clear()  # The last words of the server may still be there to read.
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, 1 << 16, 16, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._lose(self._death())
                return
            self._received_fds += fds
            *lines, self._received = (self._received + data).split(b"\n")
            for line in lines:
                self._handle(json.loads(line))

    def _handle(self, message: dict) -> None:
        if "exit" in message:
            if process := self._processes.pop(message["exit"], None):
                process._ended(message["code"])
            return
        request = self._requests.get(message["id"])
        wanted = request is not None and not request.done()
        if "error" in message:
            number, text, path = message["error"]
            if wanted:
                request.set_exception(OSError(number, text, path))
            return
        process = ForkedProcess(self, message["pid"], self._received_fds.pop(0))
        self._processes[process.pid] = process
        if wanted:
            request.set_result(process)
        else:
            process.kill()

    def _lose(self, error: ForkServerError) -> None:
        self._lost = True
        self._to_send.clear()
        self._processes.clear()
        for request in self._requests.values():
            if not request.done():
                request.set_exception(error)

    def _death(self) -> ForkServerError:
        assert self._process is not None
        size = os.fstat(self._log_fd).st_size
        tail = os.pread(self._log_fd, LOG_TAIL_BYTES, max(0, size - LOG_TAIL_BYTES)).decode(errors="replace")
        try:
            code = self._process.wait(0.1)  # its socket closes a moment before it can be reaped
        except subprocess.TimeoutExpired:
            code = None
        return ForkServerError(f"the fork server ended (exit code {code}); the end of its log:\n{tail or '(empty)'}")


_shared: ForkServer | None = None


def forkserver(preload: Sequence[str] = ()) -> ForkServer:
    """The server that all provisioners of this process share; started now, if it is not running.

    A server that was closed or has died is replaced, with the same `preload`: an accident costs the requests that were
    open, not the cluster.
    """
    global _shared
    if _shared is not None:
        _shared._exchange()
    if _shared is None or not _shared.alive:
        if _shared is not None:
            _shared.close()
            preload = preload or _shared.preload
        _shared = ForkServer(preload=preload)
        _shared.start()
    return _shared


def is_readable(fd: int) -> bool:
    """Whether a descriptor can be read: of a pidfd, whether its process has ended."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


async def until_readable(fd: int) -> None:
    """Wait until a descriptor can be read."""
    from asyncio import get_running_loop  # see ForkServer.spawn

    loop = get_running_loop()
    readable = loop.create_future()
    # A loop knows one callback per descriptor; with a duplicate each, any number of tasks can wait for the same one.
    own = os.dup(fd)
    loop.add_reader(own, lambda: readable.done() or readable.set_result(None))
    try:
        await readable
    finally:
        loop.remove_reader(own)
        os.close(own)
