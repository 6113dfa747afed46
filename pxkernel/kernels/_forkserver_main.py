"""The fork server's own process: `python -m pxkernel.kernels._forkserver_main FD [MODULE ...]`, started by `ForkServer`.

    controller                        this process                           engines
    ForkServer ── request line ─────▶ modules preloaded, no thread ─ fork ─▶ setsid, cwd, environment, argv,
               ◀─ reply and pidfd ──                                         ipykernel_launcher as __main__
               ◀─ exit code ──────── reaps                                ◀─ end

Rule 1: nothing is created before a fork that a kernel creates itself: no IPython application, no ZeroMQ context, no
event loop, no thread. Only modules are loaded.
Rule 2: a child leaves `Server.serve` by returning, and the interpreter then ends as it always ends. atexit handlers,
the join of threads and the exit handlers of process pools hang on that path, and `os._exit` would skip all of them.
Rule 3: the server lives exactly as long as its peer keeps the socket open. The engines do not depend on it.
"""

import builtins
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import resource
import selectors
import signal
import socket
import sys
import threading
import time
import types
import warnings

# What an ipykernel imports on its way to the first reply. The debugger is most of it, although few kernels ever debug.
# Not every supported version has or uses each of them, so what is missing is skipped.
PRELOAD = (
    "IPython",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "IPython.core.completerlib",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "faulthandler",
    "pdb",
    "runpy",
    "sqlite3",
    "tornado.platform.asyncio",
    # For the first traceback: IPython 9 imports them then, in every engine that fails.
    "stack_data",
    "pygments.lexers.python",
    "pygments.formatters.html",
    "pygments.formatters.terminal256",
    "numpy.random",
    "cloudpickle",
    "pxkernel.engine.extension",
)


def preload(more: list[str]) -> None:
    """Load what every engine needs and what the user wants, and leave the heap as forks like it. Called once, before `Server.serve`."""
    # A collection would touch, and so unshare, the pages of every object; frozen objects are never visited again.
    gc.disable()
    for name in (*PRELOAD, *more):
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a module of the user does: the engines are started without it
            print(f"not preloaded: {name}: {error}", file=sys.stderr, flush=True)
    # Each child does it, and has less to free then: what importing has left in importlib.metadata is a megabyte.
    importlib.invalidate_caches()
    gc.freeze()
    if threading.active_count() > 1:
        print(f"threads before the first fork: {threading.enumerate()}", file=sys.stderr, flush=True)


class Server:
    """Forks on request, reports the ends of its children."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._children: dict[int, int] = {}  # pidfd -> pid
        self._received = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)

    def serve(self) -> dict | None:
        """Answer until the peer is gone: None. In a forked child: the request that the child has to fulfil."""
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._children:
                    self._reap(key.fd)
                    continue
                data = self._connection.recv(1 << 16)
                if not data:
                    return None
                *lines, self._received = (self._received + data).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    if self._fork(request):
                        return request

    def _fork(self, request: dict) -> bool:
        """True in the child. Whatever can fail fails here, before the fork, where the peer can still be told."""
        with contextlib.ExitStack() as opened:
            try:
                # O_PATH: to enter a directory one need not be allowed to list it.
                cwd_fd = os.open(request["cwd"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, cwd_fd)
                log_fd = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                opened.callback(os.close, log_fd)
                pid, pidfd = self._fork_with_pidfd()
            except OSError as error:
                self._send({"id": request["id"], "error": [error.errno, error.strerror, error.filename]})
                return False
            if pid == 0:
                self._forget_server()
                enter_session(request, cwd_fd, log_fd)
                return True
        self._children[pidfd] = pid
        self._selector.register(pidfd, selectors.EVENT_READ)
        self._send({"id": request["id"], "pid": pid}, pidfd)
        return False

    def _fork_with_pidfd(self) -> tuple[int, int]:
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # Python 3.12 counts the threads of numpy's BLAS, which look after themselves across a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            return 0, -1
        try:
            return pid, os.pidfd_open(pid)
        except OSError:  # out of descriptors: a kernel that the peer cannot know must not run
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

    def _forget_server(self) -> None:
        # The epoll object is shared with the server: close our handle to it, never unregister anything through it.
        self._selector.close()
        self._connection.close()
        for pidfd in self._children:
            os.close(pidfd)

    def _reap(self, pidfd: int) -> None:
        self._selector.unregister(pidfd)
        os.close(pidfd)
        pid = self._children.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        self._send({"exit": pid, "code": os.waitstatus_to_exitcode(status)})

    def _send(self, message: dict, *fds: int) -> None:
        data = json.dumps(message).encode() + b"\n"
        # May block while the peer does not read, but not for ever: the peer itself never blocks on us.
        sent = socket.send_fds(self._connection, [data], fds)
        self._connection.sendall(data[sent:])


def enter_session(request: dict, cwd_fd: int, log_fd: int) -> None:
    """Turn the forked copy of the server into the process that `Popen(start_new_session=True)` would have made."""
    os.setsid()
    os.dup2(log_fd, 1)
    os.dup2(log_fd, 2)
    os.fchdir(cwd_fd)
    reset_signals()
    set_environment(request["env"])
    time.tzset()
    reset_inherited_state()
    gc.enable()


def set_environment(wanted: dict[str, str]) -> None:
    """Make it the environment. Most of it is already: to set all of it would unshare 200 pages."""
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def reset_signals() -> None:
    """Python's own start values. The server may have been started with signals ignored (`&`, nohup) or blocked."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def reset_inherited_state() -> None:
    """What modules computed once per process and siblings must not share. (`random` reseeds itself after a fork.)"""
    if numpy_random := sys.modules.get("numpy.random"):
        numpy_random.seed()
    if process := sys.modules.get("multiprocessing.process"):
        process.current_process().authkey = os.urandom(32)
    if tempfile := sys.modules.get("tempfile"):
        tempfile.tempdir = None


def run_as_main(argv: list[str]) -> None:
    """Do what the interpreter does for `python [-X...] -m module args...`.

    Not `runpy.run_module(alter_sys=True)`: it puts the old `__main__` back before the atexit handlers run.
    """
    at = argv.index("-m") + 1
    name = argv[at]
    if not sys.flags.safe_path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(name)
    if spec is None:
        sys.exit(f"{sys.executable}: No module named {name}")
    main = types.ModuleType("__main__")
    vars(main).update(
        __builtins__=builtins,
        __cached__=spec.cached,
        __file__=spec.origin,
        __loader__=spec.loader,
        __package__=spec.parent,
        __spec__=spec,
    )
    sys.modules["__main__"] = main
    sys.argv = [spec.origin, *argv[at + 1 :]]
    sys.orig_argv = list(argv)
    exec(spec.loader.get_code(name), vars(main))


def serve_forks(fd: int) -> dict:
    """Returns only in the children, each with its request."""
    # A child costs the server a descriptor. The children get the old limit back: there are programs that need it.
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    try:
        request = Server(socket.socket(fileno=fd)).serve()
    except (BrokenPipeError, ConnectionResetError):
        request = None
    if request is None:
        # Exit handlers of the preloaded modules belong to the kernels, and nobody is left to wait for them.
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    return request


if __name__ == "__main__":
    # The server's directory would shadow modules in the engines; each child gets its own.
    if not sys.flags.safe_path:
        del sys.path[0]
    preload(sys.argv[2:])
    run_as_main(serve_forks(int(sys.argv[1]))["argv"])
