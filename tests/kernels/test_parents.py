"""Output arrives with the call that made it, and one piece of user code runs at a time."""

import pytest
from jupyter_client import BlockingKernelClient

SOON = 10


@pytest.fixture
def engine(cluster4):
    return cluster4[0]


@pytest.fixture
def console(cluster4):
    """What `jupyter console --existing` would use: another front end of engine 0."""
    client = BlockingKernelClient(connection_file=str(cluster4.connection_file(0)))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=SOON)
    yield client
    client.stop_channels()
    client.context.destroy(linger=0)


def test_print_in_a_function(engine):
    def work():
        import sys

        print("out")
        print("err", file=sys.stderr)
        return 5

    result = engine.apply_async(work)
    assert result.get(SOON) == 5
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("silent", [True, False])
def test_print_in_a_cell(engine, silent):
    result = engine.execute("import sys\nprint('out')\nprint('err', file=sys.stderr)\n!echo shell", silent=silent)
    result.get(SOON)
    assert result.stdout.replace("\r", "").splitlines() == ["out", "shell"] and result.stderr == "err\n"


def test_many_calls_at_once_each_have_their_own(cluster4):
    results = [cluster4[:].apply_async(print, number) for number in range(50)]
    assert [result.stdout for result in results if result.wait(SOON)] == [[f"{number}\n"] * 4 for number in range(50)]


def test_displays(engine):
    def work():
        from IPython.display import HTML, display

        display(HTML("<b>bold</b>"))

    for result in (
        engine.apply_async(work),
        engine.execute("from IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))", silent=False),
    ):
        result.get(SOON)
        (output,) = result.outputs
        assert output["data"]["text/html"] == "<b>bold</b>"


def test_what_a_failing_call_printed(engine):
    def work():
        print("before")
        raise ValueError

    result = engine.apply_async(work)
    assert result.exception(SOON) is not None and result.stdout == "before\n"


def test_an_awaiting_cell(engine, notebook):
    cell = engine.execute(
        "import asyncio\nfor i in range(3):\n    print(i)\n    await asyncio.sleep(0.05)\nended = True", silent=False
    )
    task = engine.apply_async(notebook("def f():\n    print('task')\n    return ended")["f"])
    assert task.get(SOON) is True
    assert (cell.stdout, task.stdout) == ("0\n1\n2\n", "task\n")
    engine.execute("del ended", block=True)


def test_an_awaiting_cell_of_another_front_end(engine, console, tmp_path, wait_for, notebook):
    """The controller knows nothing of this cell; the engine itself keeps tasks away from it."""
    code = f"""
import asyncio, pathlib
state = "runs"
print("before")
while not pathlib.Path({str(tmp_path)!r}, "go").exists():
    pathlib.Path({str(tmp_path)!r}, "started").touch()
    await asyncio.sleep(0.01)
print("after")
state = "ended"
"""
    texts = []
    sent = console.execute(code)
    wait_for((tmp_path / "started").exists)
    task = engine.apply_async(notebook("def f():\n    print('task')\n    return state")["f"])
    silent = engine.execute("print('silent', state)")
    assert not task.wait(0.3)
    (tmp_path / "go").touch()
    assert task.get(SOON) == "ended"
    assert (task.stdout, silent.stdout if silent.wait(SOON) else None) == ("task\n", "silent ended\n")
    while True:
        message = console.get_iopub_msg(timeout=SOON)
        if message["parent_header"].get("msg_id") == sent:
            if message["msg_type"] == "stream":
                texts.append(message["content"]["text"])
            elif message["content"].get("execution_state") == "idle":
                break
    assert "".join(texts) == "before\nafter\n"
    assert console.get_shell_msg(timeout=SOON)["content"]["status"] == "ok"


@pytest.mark.parametrize("end", ["1 / 0", "raise KeyboardInterrupt", "await asyncio.sleep(0.01)", "!true"])
def test_tasks_start_after_any_kind_of_cell(engine, console, end):
    console.execute(f"import asyncio\nawait asyncio.sleep(0.01)\n{end}", silent=False)
    assert engine.apply_sync(lambda: 5) == 5
    console.get_shell_msg(timeout=SOON)


def test_an_awaiting_function(engine):
    async def work():
        import asyncio

        print("one")
        await asyncio.sleep(0.1)
        print("two")
        return 5

    first = engine.apply_async(work)
    second = engine.apply_async(print, "other")
    cell = engine.execute("print('cell')", silent=False)
    assert first.get(SOON) == 5 and second.get(SOON) is None and cell.get(SOON) is not None
    assert (first.stdout, second.stdout, cell.stdout) == ("one\ntwo\n", "other\n", "cell\n")


def test_a_thread_of_a_cell(engine, notebook):
    """What it prints after its cell belongs to no other call."""
    cell = engine.execute(
        """
import threading
go = threading.Event()
def work():
    print("thread first")
    first.set()
    go.wait()
    print("thread second")
first = threading.Event()
thread = threading.Thread(target=work)
thread.start()
first.wait()
print("cell")
""",
        silent=False,
    )
    cell.get(SOON)
    task = notebook("""
        def task():
            print("task")
            go.set()
            thread.join()
    """)["task"]
    result = engine.apply_async(task)
    result.get(SOON)
    following = engine.apply_async(print, "following")
    following.get(SOON)
    assert (result.stdout, following.stdout) == ("task\n", "following\n")
    assert cell.stdout.startswith("thread first\ncell\n")


def test_a_thread_of_a_function(engine):
    def work():
        import threading

        global go, thread
        go = threading.Event()

        def first():
            print("in time")

        def second():
            go.wait()
            print("too late")

        early, thread = threading.Thread(target=first), threading.Thread(target=second)
        early.start()
        thread.start()
        early.join()
        print("function")

    def finish():
        print("finish")
        go.set()  # noqa: F821
        thread.join()  # noqa: F821

    first, second = engine.apply_async(work), engine.apply_async(finish)
    cell = engine.execute("print('cell')", silent=False)
    assert first.wait(SOON) and second.wait(SOON) and cell.wait(SOON)
    assert first.get() is None and second.get() is None
    assert first.stdout.startswith("in time\nfunction\n")
    assert (second.stdout, cell.stdout) == ("finish\n", "cell\n")


def test_a_pool_of_threads(engine):
    def work():
        import sys
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            # One write each: print makes two, between which another thread may come.
            list(pool.map(lambda number: sys.stdout.write(f"{number}\n"), range(20)))

    result = engine.apply_async(work)
    result.get(SOON)
    assert sorted(map(int, result.stdout.split())) == list(range(20))


def test_the_cell_of_another_front_end_keeps_its_output(engine, console):
    """Tasks that run between the cells of a console do not change where its output goes."""
    texts = []
    for number in range(5):
        engine.apply_sync(print, "task")
        reply = console.execute_interactive(
            f"print('cell', {number})", timeout=SOON, output_hook=lambda m: texts.append(m["content"].get("text"))
        )
        assert reply["content"]["status"] == "ok"
    assert "".join(filter(None, texts)) == "".join(f"cell {number}\n" for number in range(5))
