"""Output of engines in a notebook: complete, in order, in the cell that caused it (issue 4, point 2; MG-18, MG-19, JUP-05)."""

import re
from collections import defaultdict

import nbformat
import pytest
from nbclient import NotebookClient


@pytest.fixture(scope="module")
def nb(start_notebook):
    notebook = start_notebook()
    shown = notebook.run(
        "import pxkernel as ipp, resource\nrc = ipp.Cluster(n=4).start_and_connect_sync(activate=True)\n"
        "dv = rc[:]; dv.block = True; dv.activate()\n"
        "def cpu():\n    used = resource.getrusage(resource.RUSAGE_SELF)\n    return used.ru_utime + used.ru_stime"
    )
    assert not shown.error
    return notebook


def printed(shown):
    """The lines of stdout by engine; fails where a line is torn or has no engine."""
    lines, engine = defaultdict(list), None
    for line in shown.stdout.splitlines():
        if label := re.match(r"\[stdout:(\d)\] ?(.*)", line):
            engine, line = int(label[1]), label[2]
        if line:
            lines[engine].append(line)
    return lines


def test_everything_that_several_engines_print_is_there_in_order(nb):
    """80,000 lines: none is lost, torn or out of place."""
    lines = printed(nb.run("%%px\nfor i in range(20000):\n    print('line', i)", timeout=60))
    for engine in range(4):
        assert lines[engine] == [f"line {i}" for i in range(20000)]


def test_many_lines_do_not_freeze_the_notebook(nb):
    """100,000 lines: all there, and the client needs less than ten seconds of processor time for them."""
    before = float(nb.value("cpu()"))
    lines = printed(nb.run("%%px\nfor i in range(25000):\n    print(i, 'x' * 60)", timeout=60))
    assert {engine: len(found) for engine, found in lines.items()} == dict.fromkeys(range(4), 25000)
    assert float(nb.value("cpu()")) - before < 10


def test_updates_of_displays(nb):
    """JUP-05: also when every engine uses the same id, and from a later cell."""
    shown = nb.run("%%px -t 0,1\nhandle = display('first', display_id='mine')\nhandle.update('second')")
    assert [data["text/plain"] for data in shown.displays] == ["'first'"] * 2
    assert [data["text/plain"] for data in shown.updates] == ["'second'"] * 2
    assert len(set(shown.display_ids)) == 2
    later = nb.run("%%px -t 1\nhandle.update('third')")
    assert [data["text/plain"] for data in later.updates] == ["'third'"]
    assert later.display_ids[0] in shown.display_ids


def test_clear_output(nb):
    """JUP-05"""
    shown = nb.run("%%px -t 2\nfrom IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')")
    assert shown.kinds.index("clear_output") > 0
    assert shown.stdout.endswith("[stdout:2] stays\n")


def test_tqdm_on_engines_is_one_line_for_each(nb):
    """Issue 4, point 5"""
    shown = nb.run("%%px\nfrom tqdm import tqdm\nfor i in tqdm(range(3), mininterval=0):\n    pass")
    assert sorted(data["text/plain"][:10] for data in shown.displays) == [f"[stderr:{engine}]" for engine in range(4)]
    last = {data["text/plain"][:10]: data["text/plain"] for data in shown.displays + shown.updates}
    assert all("100%" in text and "3/3" in text for text in last.values())
    assert shown.stderr == ""


def test_comms_of_engines_reach_the_notebook_and_back(nb, wait_for):
    """JUP-04: what widgets are made of, with metadata and buffers, both ways, until one end closes it."""
    shown = nb.run(
        "%%px -t 2\nimport comm\ngot = []\n"
        "c = comm.create_comm(target_name='test', data={'n': 1}, metadata={'version': '2'}, buffers=[b'there'])\n"
        "c.on_msg(lambda m: (got.append((m['content']['data'], bytes(m['buffers'][0]))), c.send({'echo': 1})))\n"
        "c.comm_id"
    )
    assert "comm_open" in shown.kinds
    name = nb.value("list(rc._comms._twins)[-1]").strip("'")
    assert name in shown.displays[0]["text/plain"]

    def send(msg_type, data, buffers=()):
        message = nb.client.session.msg(msg_type, {"comm_id": name, "data": data})
        nb.client.session.send(nb.client.shell_channel.socket, message, buffers=list(buffers))

    send("comm_msg", {"n": 7}, [b"back"])
    wait_for(lambda: nb.run("%px -t 2 got").labelled == ["Out[2:n]: [({'n': 7}, b'back')]"])
    send("comm_close", {})
    wait_for(lambda: nb.run("%px -t 2 c._closed").labelled == ["Out[2:n]: True"])
    assert nb.value(f"{name!r} in rc._comms._twins") == "False"


def test_anybody_can_follow_the_output_of_all_engines(nb, wait_for):
    """JUP-09: also what another client has called; a client that has gone is not sent anything."""
    nb.run(
        "seen = []\nother = ipp.Client(rc.cluster.cluster_file)\n"
        "stop = other.watch_outputs(lambda engine, kind, content: seen.append((engine, kind, content.get('text'))))"
    )
    nb.run("%%px -t 1,2\nprint('followed')\n5")
    wait_for(lambda: nb.value("seen").count("execute_result") == 2)
    # A line may come in two pieces.
    printed = "sorted((n, ''.join(text for engine, kind, text in seen if (engine, kind) == (n, 'stream'))) for n in (1, 2))"
    assert nb.value(printed) == "[(1, 'followed\\n'), (2, 'followed\\n')]"
    nb.run("stop()\nseen.clear()\n_ = rc[1].apply_sync(lambda: print('alone'))")
    assert nb.value("seen") == "[]"
    nb.run("_ = other.watch_outputs(seen.append)\nother.close()")
    assert nb.run("%px -t 1 print('goes on')").stdout.endswith("[stdout:1] goes on\n")


CELLS = [
    "import pxkernel as ipp, os, time\nrc = ipp.Cluster(n=2).start_and_connect_sync(activate=True)",
    "%%px --noblock --out later\nimport os, time\nprint('begun')\nwhile not os.path.exists(GATE):\n    time.sleep(.01)\n"
    "print('end')\n'result'",
    "1 + 1",
    "open(GATE, 'w').close()\nlater.wait(), later.wait_for_output()\n"
    "while later._live._printer._screen._timer:\n    time.sleep(.01)",
    "later.get()",
    "%px --progress-after 0 import time; time.sleep(.2)",
    "rc.cluster.stop_cluster_sync()",
]


def test_a_cell_shows_what_it_has_started_whenever_it_comes(nothing_is_left, tmp_path):
    """A cell submitted in A and finished during C shows in A, in a front end that follows one cell at a time."""
    sources = [source.replace("GATE", repr(str(tmp_path / "gate"))) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=50, kernel_name="python3").execute()
    outputs = [cell.outputs for cell in notebook.cells]
    display, value = outputs[1]
    assert value["data"]["text/plain"] == "<AsyncResult: %px:pending>"
    text = display["data"]["text/plain"]
    assert text.count("begun") == text.count("end") == text.count("'result'") == 2
    assert {"[stdout:0]", "[stdout:1]"} == set(re.findall(r"\[stdout:\d\]", text))
    assert [output["data"]["text/plain"] for output in outputs[2]] == ["2"]
    assert [output["output_type"] for output in outputs[4]] == ["execute_result"]
    # A bar is kept in its last state.
    bar = next(output for output in outputs[5] if output["output_type"] == "display_data")
    assert bar["data"]["text/plain"].startswith("%px: 100%|")
