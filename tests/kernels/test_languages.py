"""Kernels of other languages as engines: bash_kernel, which is Python below, and Deno's, which knows only TCP."""

import json
import sys

import deno
import pytest

import pxkernel as px

SOON = 15

ARGV = {
    "bash": [sys.executable, "-m", "bash_kernel", "-f", "{connection_file}"],
    "deno": [deno.find_deno_bin(), "jupyter", "--kernel", "--conn", "{connection_file}"],
}
CODE = {
    "bash": {"say": "echo hello", "set": "x=5", "show": "echo $((x + 1))", "fail": "nosuchcommand", "spin": "sleep 10000"},
    "deno": {
        "say": "console.log('hello')",
        "set": "let x = 5",
        "show": "console.log(x + 1)",
        "fail": "throw new Error('oops')",
        "spin": "while (true) {}",
    },
}
LANGUAGES = list(ARGV)


@pytest.fixture(scope="module")
def kernelspecs(nothing_is_left, tmp_path_factory):
    place = tmp_path_factory.mktemp("jupyter")
    for name, argv in ARGV.items():
        folder = place / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"argv": argv, "display_name": name, "language": name}
        (folder / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(place))
        patch.setenv("DENO_DIR", str(place / "deno"))
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture(scope="module", params=LANGUAGES)
def engine(request, kernelspecs):
    """One engine of the language, with the code of that language."""
    name = request.param
    with px.Cluster(n=1, kernel_name=name, cluster_id=name, transport="tcp" if name == "deno" else "ipc") as rc:
        yield rc[0], CODE[name]


def test_output(engine):
    view, code = engine
    result = view.execute(code["say"], silent=False)
    result.get(SOON)
    assert result.stdout == "hello\n"


def test_its_namespace_and_the_order_of_cells(engine):
    view, code = engine
    results = [view.execute(code[name], silent=False) for name in ("set", "show")]
    assert [result.get(SOON) and result.stdout for result in results][1] == "6\n"


def test_silent_code_runs_as_a_cell(engine):
    view, code = engine
    result = view.execute(code["say"])
    result.get(SOON)
    assert result.stdout == "hello\n"


def test_every_output_counts_also_what_comes_after_the_idle_status(engine):
    view, code = engine
    results = [view.execute(code["say"], silent=False) for _ in range(20)]
    assert [result.get(SOON) and result.stdout for result in results] == ["hello\n"] * 20


def test_an_error(engine):
    view, code = engine
    with pytest.raises(px.RemoteError) as caught:
        view.execute(code["fail"], silent=False).get(SOON)
    assert caught.value.engine_info["engine_id"] == 0
    assert view.execute(code["say"], silent=False).get(SOON) is not None


def test_a_cell_that_exceeds_its_time_limit(engine):
    """Issue 4, point 4: it is interrupted, on kernels without the extension as well."""
    view, code = engine
    with view.temp_flags(timeout=0.5):
        running = view.execute(code["spin"], silent=False)
    after = view.execute(code["say"], silent=False)
    with pytest.raises(px.TimeLimitExceeded, match="longer than its time limit of 0.5 seconds"):
        running.get(SOON)
    after.get(SOON)
    assert after.stdout == "hello\n"


def test_an_interrupt_ends_what_runs_and_aborts_what_waits(engine, wait_for):
    view, code = engine
    view.execute(code["set"], silent=False).get(SOON)
    running = view.execute(code["spin"], silent=False)
    waiting = view.execute(code["say"], silent=False)
    # Busy for a moment: it has been sent, and a kernel says nothing before its code does.
    wait_for(lambda: (view.client.top(0)[0]["seconds"] or 0) > 0.5)
    view.client.interrupt([running, waiting])
    with pytest.raises(px.RemoteError):
        running.get(SOON)
    with pytest.raises(px.TaskAborted):
        waiting.get(SOON)
    after = view.execute(code["show"], silent=False)
    after.get(SOON)
    assert after.stdout == "6\n"


@pytest.mark.parametrize(
    "call",
    [
        lambda view: view.apply_sync(abs, -1),
        lambda view: view.apply_async(abs, -1),
        lambda view: view.map(abs, [1, 2]),
        lambda view: view.push({"a": 1}),
        lambda view: view.pull("a"),
        lambda view: view.scatter("a", [1, 2]),
        lambda view: view.gather("a"),
    ],
)
def test_functions_and_objects_cannot_be_sent(engine, call):
    """At the call, with nothing sent."""
    view, _ = engine
    before = len(view.client.history)
    with pytest.raises(px.EngineError, match=r"engines \[0\] are no Python kernels.* source code only"):
        call(view)
    assert len(view.client.history) == before


def test_looking_at_it_from_outside(engine):
    view, _ = engine
    (row,) = view.client.top()
    assert row["state"] == "idle" and row["memory"] > 0
    assert "no Python kernel" in view.client.stacks()[0]


def test_a_mixed_cluster(kernelspecs):
    """Python and another language side by side; a restart keeps the language."""
    cluster = px.Cluster(n=1)
    with cluster as rc:
        cluster.start_engines_sync(1, kernel_name="bash")
        rc.wait_for_engines(2)
        assert rc[0].apply_sync(abs, -1) == 1
        assert rc.load_balanced_view().map_sync(abs, [-1, -2, -3]) == [1, 2, 3]
        with pytest.raises(px.EngineError, match=r"engines \[1\] are no Python kernels"):
            rc[:].apply_sync(abs, -1)
        both = rc[:].execute("1 + 1", silent=False)
        with pytest.raises(px.CompositeError, match="raised in: execute"):
            both.get(SOON)
        assert both.metadata[0].status == "ok" and both.metadata[1].status == "error"
        cluster.restart_engine_sync(1)
        said = rc[1].execute("echo hello $((1 + 1))")
        said.get(SOON)
        assert said.stdout == "hello 2\n"


def test_a_kernel_that_needs_tcp_says_so_in_the_error(kernelspecs):
    """TCP is used only when the user allows it."""
    with pytest.raises(px.EngineError, match="(?s)engine 0 died.*host"), px.Cluster(n=1, kernel_name="deno"):
        pass


def test_a_wrong_transport():
    with pytest.raises(ValueError, match="transport must be 'ipc' or 'tcp', not 'udp'"):
        px.Cluster(n=1, transport="udp")
    with pytest.raises(ValueError, match="transport must be"):
        px.Cluster(n=1).start_engines_sync(1, kernel_name="bash", transport="udp")
