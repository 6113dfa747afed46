"""Forked kernels against what a kernel started by `python -m ipykernel_launcher` would do."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest
from jupyter_client import AsyncKernelManager, KernelManager
from jupyter_client.kernelspec import KernelSpec

from pxkernel.kernels.forkserver import UNKNOWN_EXIT_CODE, ForkedProcess, ForkServer, ForkServerError, forkserver
from pxkernel.kernels.provisioner import SHUTDOWN_SECONDS, can_fork

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(60)]

COMMAND = [sys.executable, "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
DEADLINE = 20.0


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left():
    me = psutil.Process()
    before = set(me.children(recursive=True))
    started = watch_spawned()
    with started as pids:
        yield
    forkserver().close()
    eventually(lambda: not [pid for pid in pids if is_running(pid)])
    assert set(me.children(recursive=True)) <= before


@contextlib.contextmanager
def watch_spawned():
    """The pids of all forked kernels: they are no children of ours, so psutil cannot list them."""
    pids: list[int] = []
    original = ForkServer.spawn

    async def spawn(self, *args, **kwargs):
        process = await original(self, *args, **kwargs)
        pids.append(process.pid)
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForkServer, "spawn", spawn)
        yield pids


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition, seconds: float = DEADLINE):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"never came true: {condition}"
        time.sleep(0.01)
    return value


def manager(folder: Path, argv=None, spec_env=None, cls=KernelManager):
    # Short names: the path of a Unix socket may have 107 characters.
    place = folder / str(len(list(folder.iterdir())))
    place.mkdir()
    km = cls(transport="ipc", ip=str(place / "s"), connection_file=str(place / "c.json"))
    km._kernel_spec = KernelSpec(
        argv=list(argv or COMMAND),
        env=dict(spec_env or {}),
        language="python",
        metadata={"kernel_provisioner": {"provisioner_name": "pxkernel-forkserver"}},
    )
    return km


class Kernel:
    def __init__(self, km: KernelManager, client) -> None:
        self.km = km
        self.client = client

    @property
    def process(self):
        return self.km.provisioner.process

    def run(self, code: str) -> dict:
        return self.client.execute_interactive(code, timeout=DEADLINE, store_history=False, output_hook=lambda _: None)

    def value(self, expression: str):
        """The value of an expression, by way of its JSON."""
        reply = self.client.execute_interactive(
            "import json",
            user_expressions={"value": f"json.dumps({expression})"},
            timeout=DEADLINE,
            output_hook=lambda _: None,
        )
        result = reply["content"]["user_expressions"]["value"]
        assert result["status"] == "ok", result
        return json.loads(eval(result["data"]["text/plain"]))


@contextlib.contextmanager
def kernel(folder: Path, argv=None, spec_env=None, **start):
    km = manager(folder, argv, spec_env)
    km.start_kernel(**start)
    client = km.blocking_client()
    client.context = km.context  # its default, a context of its own, would be left to the garbage collector
    try:
        client.start_channels(hb=False)  # its thread would still poll when the context goes
        client.wait_for_ready(timeout=DEADLINE)
        yield Kernel(km, client)
    finally:
        client.stop_channels()
        km.shutdown_kernel(now=True)
        assert km.context.closed


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One kernel for the tests that only look at it."""
    folder = tmp_path_factory.mktemp("k")
    (folder / "cwd").mkdir()
    env = {**os.environ, "PX_GIVEN": "by the caller", "PX_BOTH": "by the caller", "TZ": "Asia/Tokyo"}
    spec_env = {"PX_SPEC": "by the spec", "PX_BOTH": "by the spec"}
    with kernel(folder, spec_env=spec_env, env=env, cwd=str(folder / "cwd"), log_path=folder / "log") as shared:
        shared.folder = folder
        yield shared


def test_a_forked_kernel_executes(shared):
    assert isinstance(shared.process, ForkedProcess)
    assert shared.value("1 + 1") == 2
    assert shared.process.poll() is None


def test_environment_directory_and_time_zone_arrive(shared):
    names = ("PX_GIVEN", "PX_SPEC", "PX_BOTH", "JPY_PARENT_PID")
    assert shared.value(f"[__import__('os').environ.get(n) for n in {names}]") == [
        "by the caller",
        "by the spec",
        "by the spec",
        None,
    ]
    assert shared.value("__import__('os').getcwd()") == str(shared.folder / "cwd")
    assert shared.value("__import__('subprocess').getoutput('echo $PX_SPEC; pwd')").split("\n") == [
        "by the spec",
        str(shared.folder / "cwd"),
    ]
    assert shared.value("__import__('time').tzname") == ["JST", "JST"]


def test_the_interpreter_looks_freshly_started(shared, tmp_path):
    look = (
        "(lambda sys, os, signal, threading: dict("
        "  argv=[os.path.basename(a) for a in sys.argv[:2]], orig=sys.orig_argv[:-1], path=sys.path,"
        "  main=sorted(n for n in vars(sys.modules['__main__']) if n.startswith('__')),"
        "  files=[os.path.basename(getattr(m, '__file__', '') or '') for n, m in sys.modules.items() if 'main' in n],"
        "  blocked=[int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])],"
        "  handlers={int(s): str(signal.getsignal(s)) for s in signal.valid_signals() if s != signal.SIGINT},"
        "  threads=sorted(type(t).__name__ for t in threading.enumerate()),"
        "  session=os.getsid(0) == os.getpid() == os.getpgid(0),"
        "  stdin=os.read(0, 1).decode(), streams=[sys.__stdout__.fileno(), sys.__stderr__.fileno()],"
        "  encodings=[sys.__stdout__.encoding, sys.__stderr__.errors, sys.__stdout__.line_buffering]))"
        "(*map(__import__, ['sys', 'os', 'signal', 'threading']))"
    )
    with kernel(tmp_path, cwd=str(shared.folder / "cwd"), stdout=-3, stderr=-3) as started:  # -3: subprocess.DEVNULL
        assert not isinstance(started.process, ForkedProcess)
        stock = started.value(look)
    forked = shared.value(look)
    assert not [name for name in forked.pop("files") if "forkserver" in name]
    stock.pop("files")
    assert forked == stock


def test_no_descriptor_of_the_server_is_left(shared, tmp_path):
    with kernel(tmp_path):  # so that the server holds a pidfd
        server = f"/proc/{forkserver().pid}/fd"
        sockets = {link for fd in os.listdir(server) if (link := os.readlink(f"{server}/{fd}")).startswith("socket:")}
        shared.run(
            "import os\n"
            "def link(fd):\n"
            "    try: return os.readlink(f'/proc/self/fd/{fd}')\n"
            "    except OSError: return ''\n"
            "def links(): return [link(fd) for fd in os.listdir('/proc/self/fd')]"
        )
        links = shared.value("links()")
        assert sockets and not sockets & set(links)
        assert not [link for link in links if "pidfd" in link]


def test_random_state_is_not_shared(shared, tmp_path):
    draw = "(lambda random, np: [random.random(), float(np.random.rand()), float(np.random.default_rng().random())])"
    draw += "(*map(__import__, ['random', 'numpy']))"
    with kernel(tmp_path) as other:
        assert not set(shared.value(draw)) & set(other.value(draw))
        keys = "bytes(__import__('multiprocessing').current_process().authkey).hex()"
        assert shared.value(keys) != other.value(keys)


def test_output_of_the_process_goes_to_the_log(shared):
    assert shared.value("__import__('os').write(1, b'plain output\\n')") == 13
    eventually(lambda: b"plain output\n" in (shared.folder / "log").read_bytes())
    assert (shared.folder / "log").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("loop", ["while True: pass", "import time; time.sleep(100)"])
def test_interrupt(shared, loop):
    started = shared.folder / "started"
    started.unlink(missing_ok=True)
    request = shared.client.execute(f"open({str(started)!r}, 'w').close()\n{loop}")
    eventually(started.exists)
    shared.km.interrupt_kernel()
    reply = eventually(lambda: shared.client.get_shell_msg(timeout=DEADLINE))
    assert reply["parent_header"]["msg_id"] == request
    assert reply["content"]["ename"] == "KeyboardInterrupt"


def test_a_kernel_ends_as_an_interpreter_ends(tmp_path):
    with kernel(tmp_path) as ending:
        ending.run(
            "import atexit, concurrent.futures, os, sys\n"
            "def at_end(): open('ended', 'w').write(f'{sys.modules[\"__main__\"] is main} {len(sys.argv)}')\n"
            f"os.chdir({str(tmp_path)!r})\n"
            "main = sys.modules['__main__']\n"
            "atexit.register(at_end)\n"
            "pool = concurrent.futures.ProcessPoolExecutor(1)\n"
            "worker = pool.submit(os.getpid).result()\n"
        )
        worker = ending.value("worker")
        assert is_running(worker)
        process = ending.process
        ending.km.request_shutdown()
        eventually(lambda: process.poll() is not None)
        assert process.returncode == 0
        assert (tmp_path / "ended").read_text() == "True 3"
        eventually(lambda: not is_running(worker))


def test_shutdown_of_a_kernel_that_does_not_end_is_bounded(tmp_path):
    with kernel(tmp_path) as stubborn:
        stubborn.run(
            "import signal, subprocess, threading\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "child = subprocess.Popen(['sleep', '1000'])\n"
            "threading.Thread(target=threading.Event().wait).start()\n"
        )
        begin = time.monotonic()
        process = stubborn.process
        stubborn.km.shutdown_kernel()
        assert time.monotonic() - begin < SHUTDOWN_SECONDS + 2
        assert process.poll() == -signal.SIGKILL
        eventually(lambda: not [p for p in psutil.pids() if group_of(p) == process.pid and is_running(p)])


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize(
    "code, exit_code", [("os._exit(3)", 3), ("os.kill(os.getpid(), 9)", -9), ("os.abort()", -signal.SIGABRT)]
)
def test_exit_codes(tmp_path, code, exit_code):
    with kernel(tmp_path) as dying:
        process = dying.process
        dying.client.execute(f"import os, faulthandler; faulthandler.disable(); {code}")
        eventually(lambda: process.poll() is not None)
        assert process.returncode == exit_code
        assert not dying.km.is_alive()


def test_wait_and_restart_in_an_event_loop(tmp_path):
    async def scenario():
        km = manager(tmp_path, cls=AsyncKernelManager)
        await km.start_kernel()
        try:
            await waits_and_restarts(km)
        finally:
            await km.shutdown_kernel(now=True)

    async def waits_and_restarts(km):
        process = km.provisioner.process
        waits = [asyncio.ensure_future(process.wait()) for _ in range(3)]
        await km.restart_kernel(now=True)
        assert await asyncio.wait_for(asyncio.gather(*waits), DEADLINE) == [-9] * 3
        assert km.provisioner.process.pid != process.pid
        gone = asyncio.ensure_future(km.provisioner.wait())
        km.provisioner.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(gone, DEADLINE) in (0, -signal.SIGTERM)
        assert not km.has_kernel

    asyncio.run(scenario())


def test_many_spawns_at_once_in_one_loop_after_the_other(tmp_path):
    async def scenario():
        argv = [sys.executable, "-m", "platform"]
        env = {**os.environ, "PX_LARGE": "x" * 100_000}  # together more than the socket holds
        processes = await asyncio.gather(*(forkserver().spawn(argv, env, "/", tmp_path / "log") for _ in range(12)))
        return await asyncio.gather(*(process.wait() for process in processes))

    for _ in range(2):
        assert asyncio.run(asyncio.wait_for(scenario(), DEADLINE)) == [0] * 12
    assert len((tmp_path / "log").read_text().split("\n")) == 25


def test_the_server_may_have_more_files_than_the_kernels(tmp_path):
    """It has one for each kernel: the usual limit of 1,024 must not be one of kernels."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(soft, hard - 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    server = ForkServer(dict(os.environ))
    try:
        code = "import resource; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
        (tmp_path / "limits_of_me.py").write_text(code)
        argv = [sys.executable, "-m", "limits_of_me"]
        process = asyncio.run(server.spawn(argv, cwd=tmp_path, log=tmp_path / "log"))
        eventually(lambda: (tmp_path / "log").read_text().endswith("\n"))
        assert (tmp_path / "log").read_text() == f"{few} {hard}\n"
        assert psutil.Process(server.pid).rlimit(psutil.RLIMIT_NOFILE) == (hard, hard)
        assert asyncio.run(asyncio.wait_for(process.wait(), DEADLINE)) == 0
    finally:
        server.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_bad_directory_is_an_error_of_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        asyncio.run(forkserver().spawn([sys.executable, "-m", "platform"], cwd=tmp_path / "nowhere"))


def test_a_cancelled_spawn_leaves_no_process():
    async def scenario():
        spawning = asyncio.ensure_future(forkserver().spawn([sys.executable, "-m", "http.server", "0"]))
        await asyncio.sleep(0)
        spawning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spawning
        # Answered in order: when this reply is here, so is the one that nobody waits for.
        assert await (await forkserver().spawn([sys.executable, "-m", "platform"])).wait() == 0

    server = psutil.Process(forkserver().pid)
    before = set(server.children())
    asyncio.run(scenario())
    eventually(lambda: set(server.children()) == before)


def test_kernels_outlive_their_server(tmp_path):
    with kernel(tmp_path) as orphan:
        old = forkserver()
        os.kill(old.pid, signal.SIGKILL)
        assert orphan.value("2 + 2") == 4
        assert orphan.process.poll() is None
        eventually(lambda: orphan.process.poll() is None and not old.alive)
        with pytest.raises(ForkServerError, match="exit code -9"):
            asyncio.run(old.spawn(COMMAND))
        with kernel(tmp_path) as successor:
            assert forkserver() is not old
            assert successor.value("3 + 3") == 6
        process = orphan.process
        process.kill()
        assert asyncio.run(asyncio.wait_for(process.wait(), DEADLINE)) == UNKNOWN_EXIT_CODE


def test_a_server_that_cannot_start_says_why(tmp_path):
    (tmp_path / "json.py").write_text("raise RuntimeError('a json of my own')")
    server = ForkServer({**os.environ, "PYTHONPATH": str(tmp_path)}, log=tmp_path / "log")
    with pytest.raises(ForkServerError, match="a json of my own"):
        asyncio.run(server.spawn(COMMAND))
    server.close()
    with pytest.raises(ForkServerError, match="closed"):
        asyncio.run(server.spawn(COMMAND))


def test_kernels_that_the_server_cannot_imitate_are_started(tmp_path):
    with kernel(tmp_path, spec_env={"PYTHONDONTWRITEBYTECODE": "1x"}, log_path=tmp_path / "log") as started:
        assert not isinstance(started.process, ForkedProcess)
        assert started.value("__import__('os').environ.get('JPY_PARENT_PID')") is None
        assert started.value("__import__('os').write(1, b'started\\n')") == 8
    assert b"started\n" in (tmp_path / "log").read_bytes()


@pytest.mark.parametrize(
    "argv, env, forked",
    [
        (COMMAND, {}, True),
        ([sys.executable, "-m", "ipykernel_launcher"], {}, True),
        ([sys.executable, "-X", "frozen_modules=off", "-m", "ipykernel_launcher"], {}, True),
        ([sys.executable, "-O", "-m", "ipykernel_launcher"], {}, False),
        ([sys.executable, "-m", "bash_kernel"], {}, False),
        ([sys.executable, "launcher.py", "-m", "ipykernel_launcher"], {}, False),
        ([sys.executable], {}, False),
        (["python", "-m", "ipykernel_launcher"], {}, False),
        ([os.path.realpath(sys.executable) + "x", "-m", "ipykernel_launcher"], {}, False),
        (COMMAND, {"OMP_NUM_THREADS": "7"}, False),
        (COMMAND, {"LD_PRELOAD": "x.so"}, False),
        (COMMAND, {"PYTHONPATH": "relative"}, False),
        (COMMAND, {"EDITOR": "vi"}, True),
    ],
)
def test_who_is_forked(argv, env, forked):
    assert can_fork(argv, {**os.environ, **env}) is forked
