"""An engine is a real kernel: input(), debuggers, await, help and completion work there from the notebook (issue 4, 7)."""

import re

import pytest

import pxkernel as px


@pytest.fixture(scope="module")
def engines(start_notebook):
    notebook = start_notebook()
    shown = notebook.run(
        "import pxkernel as ipp\nrc = ipp.Cluster(n=4).start_and_connect_sync(activate=True)\n"
        "dv = rc[:]; dv.block = True; dv.activate()"
    )
    assert not shown.error
    return notebook


# ---- input()


def test_input_asks_in_the_notebook(engines):
    """MG-28: labelled with the engine; each gets its own answer."""
    shown = engines.run("%px x = input('name? ')", answers=["a"] * 4)
    assert sorted(shown.prompts) == [f"[input:{engine}] name? " for engine in range(4)]
    assert engines.value("dv['x']") == "['a', 'a', 'a', 'a']"


def test_each_engine_gets_its_own_answer(engines):
    """MG-28"""
    seen = []
    shown = engines.run("%px x = input('name? ')", answers=list("abcd"))
    typed = {int(prompt[7]): answer for prompt, answer in zip(shown.prompts, "abcd", strict=True)}
    seen.append(engines.value("dv['x']"))
    assert seen == [repr([typed[engine] for engine in range(4)])]


def test_output_before_a_question_comes_before_it(engines):
    """MG-28"""
    shown = engines.run("%%px -t 2\nfor i in range(3):\n    print('line', i)\n    input()", answers=[""] * 3)
    assert [line for line in shown.stdout.splitlines() if line] == [f"[stdout:2] line {i}" for i in range(3)]
    assert shown.prompts == ["[input:2] "] * 3


def test_getpass_hides_what_is_typed(engines):
    """MG-28"""
    shown = engines.run("%%px -t 0\nimport getpass\ngetpass.getpass()", answers=["secret"])
    assert shown.prompts == ["[input:0] "]
    assert shown.labelled == ["Out[0:n]: 'secret'"]


@pytest.mark.parametrize("call", ["rc[1].apply_sync(ask)", "rc[1].apply_async(ask).get()", "rc[1].map_sync(ask1, [0])[0]"])
def test_a_task_asks_as_well(engines, call):
    """MG-28: also what was called without waiting, when it is waited for."""
    engines.run(
        "def ask():\n    import getpass\n    print('before')\n    return input('a? '), getpass.getpass('b? ')\n"
        "def ask1(n):\n    return ask()"
    )
    shown = engines.run(call, answers=["x", "y"])
    assert shown.prompts == ["[input:1] a? ", "[input:1] b? "]
    assert (shown.result, shown.labelled) == ("('x', 'y')", ["[stdout:1] before"])


def test_waiting_answers_too(engines):
    """MG-28: wait() and result() as well as get()."""
    for wait in ("wait()", "result()", "exception()"):
        shown = engines.run(f"ar = rc[0].apply_async(lambda: input('? '))\nar.{wait}\nar.get()", answers=["z"])
        assert (shown.prompts, shown.result) == (["[input:0] ? "], "'z'"), wait


def test_code_that_runs_silently_asks_too(engines):
    """MG-28: view.execute() goes over the task channel."""
    assert engines.run("_ = dv.execute('y = input(1)', targets=3)", answers=["t"]).prompts == ["[input:3] 1"]
    assert engines.value("rc[3]['y']") == "'t'"


def test_a_coroutine_asks_too(engines):
    """MG-28"""
    engines.run("async def later():\n    import asyncio\n    await asyncio.sleep(.01)\n    return input('? ')")
    assert engines.run("rc[0].apply_sync(later)", answers=["w"]).result == "'w'"


def test_a_front_end_that_cannot_ask(engines):
    """MG-28: a clear error, and the engine goes on."""
    for cell in ("%%px -t 0\ninput()", "rc[0].apply_sync(lambda: input())"):
        shown = engines.run(cell)
        assert "[input:0] this front end cannot ask for input" in shown.stderr
        assert shown.ename == "EOFError"
    assert engines.value("rc[0].apply_sync(lambda: 1)") == "1"


def test_input_is_what_it_was_after_a_task(engines):
    """MG-28"""
    engines.run("def which():\n    import builtins, getpass\n    return builtins.input.__module__, getpass.getpass.__module__")
    assert engines.value("rc[0].apply_sync(which)") == "('pxkernel.engine.stdin', 'pxkernel.engine.stdin')"
    shown = engines.run("%%px -t 0\nimport builtins, getpass\nbuiltins.input.__module__, getpass.getpass.__module__")
    assert shown.labelled == ["Out[0:n]: ('ipykernel.kernelbase', 'ipykernel.kernelbase')"]


def test_a_script_is_told_that_nobody_can_answer(view):
    """MG-28: at once, and not by waiting for ever."""
    with pytest.raises(px.RemoteError, match="nobody can answer") as caught:
        view.client[0].apply_sync(lambda: input("name? "))
    assert caught.value.ename == "EOFError"
    with pytest.raises(px.RemoteError, match="does not support input requests"):
        view.client[0].execute("input()", silent=False, block=True)


def test_a_client_that_goes_leaves_no_engine_waiting(engines, cluster4, wait_for):
    """MG-28: its questions meet the end of the input."""
    engines.run("other = ipp.Client(rc.cluster.cluster_file)\nar = other[2].apply_async(lambda: input('? '))")
    engines.run("cell = other[3].execute('input()', silent=False, block=False)")
    engines.run("import time\nwhile not (ar._prompts and cell._prompts):\n    time.sleep(.01)")
    engines.run("other.close()")
    assert engines.value("rc[2:].apply_sync(lambda: 1)") == "[1, 1]"


def test_the_stop_button_at_a_question(engines, wait_for):
    """MG-28: interrupts the code that asks."""
    engines.client.allow_stdin = True
    msg_id = engines.client.execute("%%px -t 1\ninput('stop me')", allow_stdin=True)
    assert engines.client.get_stdin_msg(timeout=20)["content"]["prompt"] == "[input:1] stop me"
    engines.manager.interrupt_kernel()
    reply = engines.client.get_shell_msg(timeout=20)
    while reply["parent_header"]["msg_id"] != msg_id:
        reply = engines.client.get_shell_msg(timeout=20)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    # ipykernel aborts what comes just after a cell that failed.
    wait_for(lambda: engines.value("rc[1].apply_sync(lambda: 1)") == "1")


# ---- debuggers


def test_debug_opens_where_the_error_was(engines):
    """MG-25, issue 4"""
    assert engines.run("%%px -t 3\ndef f(n):\n    return 1 / n\nf(0)").ename == "ZeroDivisionError"
    shown = engines.run("%%px -t 3\n%debug", answers=["p n", "up", "q"])
    assert shown.prompts == ["[input:3] ipdb> "] * 3
    assert "----> 2     return 1 / n" in re.sub(" +", " ", shown.stdout).replace("2 return", "2     return")
    assert "[stdout:3] 0\n" in shown.stdout


@pytest.mark.parametrize("call", ["%%px -t 3\nstop(5)", "rc[3].apply_sync(stop, 5)"])
def test_breakpoint_opens_the_debugger(engines, call):
    """Issue 4: in a cell and in a task, in the frame of the user."""
    source = "def stop(n):\n    breakpoint()\n    return n + 1"
    engines.run(source)
    engines.run("%%px -t 3\n" + source)
    shown = engines.run(call, answers=["p n * 10", "c"])
    assert shown.prompts == ["[input:3] ipdb> "] * 2
    assert "50" in shown.stdout
    assert (shown.result or shown.labelled[0]).endswith("6")
    assert engines.run("%%px -t 3\ninput.__module__").labelled == ["Out[3:n]: 'ipykernel.kernelbase'"]


# ---- await, completion, help, consoles


def test_top_level_await_and_coroutines(engines):
    """MG-27, issue 4: neither hangs."""
    assert engines.run("%px import asyncio; await asyncio.sleep(0, 'slept')").labelled == [
        f"Out[{engine}:n]: 'slept'" for engine in range(4)
    ]
    engines.run("async def twice(n):\n    import asyncio\n    await asyncio.sleep(0)\n    return 2 * n")
    assert engines.value("dv.apply_sync(twice, 4)") == "[8, 8, 8, 8]"


def completed(notebook, cell, wait_for):
    """What a front end offers at the end of ``cell``; the first answer of an engine may take it a while (it loads jedi)."""

    def matches():
        msg_id = notebook.client.complete(cell)
        reply = notebook.client.get_shell_msg(timeout=30)
        while reply["parent_header"]["msg_id"] != msg_id:
            reply = notebook.client.get_shell_msg(timeout=30)
        content = reply["content"]
        return content["matches"] and (content["matches"], cell[content["cursor_start"] : content["cursor_end"]])

    return wait_for(matches, timeout=40)


@pytest.mark.parametrize("start", ["%%px\nx = 1\n", "%%px --targets 2 --no-stream\n", "%px ", "%px -t 2 "])
def test_completion_is_answered_by_an_engine(engines, wait_for, start):
    """Issue 4: inside of %%px and %px, where the names are."""
    engines.run("%px unique_name_there = 'x'")
    assert completed(engines, start + "unique_na", wait_for) == (["unique_name_there"], "unique_na")
    assert "upper" in completed(engines, start + "unique_name_there.upp", wait_for)[0][0]


def test_completion_elsewhere_is_that_of_the_notebook(engines, wait_for):
    """Issue 4"""
    engines.run("unique_name_here = 1")
    assert completed(engines, "unique_na", wait_for)[0] == ["unique_name_here"]


def test_completion_while_autopx_is_on(engines, wait_for):
    """MG-16, issue 4"""
    engines.run("%px unique_name_there = 'x'")
    engines.run("%autopx")
    try:
        assert completed(engines, "unique_na", wait_for)[0] == ["unique_name_there"]
    finally:
        engines.run("%autopx")


def test_help_comes_from_an_engine(engines):
    """Issue 4: obj? opens the pager of the front end once, not once for each engine."""
    engines.run("%%px\ndef documented():\n    'This text is on the engines.'")
    shown = engines.run("%%px\ndocumented?")
    (page,) = shown.pages
    assert "This text is on the engines." in page["data"]["text/plain"]


def test_the_command_of_a_console(engines):
    """Issue 4: rc.console(3)"""
    command = engines.run("rc.console(3)").stdout.strip()
    assert re.fullmatch(r"jupyter console --existing \S+kernel-3\S*\.json", command)
    assert engines.value(f"__import__('os').path.exists({command.split()[-1]!r})") == "True"
    assert engines.run("rc.console(9)").ename == "IndexError"


def test_bind_kernel(engines):
    """JUP-02: an engine is bound already; elsewhere it is an error."""
    assert engines.value("dv.apply_sync(ipp.bind_kernel)") == "[None, None, None, None]"
    shown = engines.run("ipp.bind_kernel()")
    assert (shown.ename, "must be called on an engine" in shown.error) == ("RuntimeError", True)
    assert "kernel-2" in engines.run("%%px -t 2\n%connect_info").stdout
