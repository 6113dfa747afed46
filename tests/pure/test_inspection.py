"""How rc.top() and rc.stacks() show themselves."""

import pytest

from pxkernel.client.client import Client
from pxkernel.client.inspection import Stacks, Top
from pxkernel.client.view import DirectView

IDLE = {
    "engine": 0, "state": "idle", "host": "here", "pid": 17, "task": None, "kind": None, "seconds": None, "queue": 0,
    "cpu": 0.0, "memory": 50 * 2**20, "name": None,
}  # fmt: skip
BUSY = {
    **IDLE, "engine": 1, "state": "busy", "task": "a:5", "kind": "apply", "seconds": 12.34, "queue": 3, "cpu": 99.6,
    "name": "<lambda>",
}  # fmt: skip


def test_a_table():
    lines = repr(Top([IDLE, BUSY])).splitlines()
    assert lines[0].split() == ["engine", "state", "host", "pid", "cpu", "memory", "queue", "task"]
    assert lines[1].split() == ["0", "idle", "here", "17", "0", "%", "50", "MiB", "0"]
    assert lines[2].endswith("apply <lambda> (a:5, 12.3 s)") and "100 %" in lines[2]
    assert len({line.index("MiB") for line in lines[1:]}) == 1


def test_a_table_in_a_notebook_is_escaped():
    html = Top([BUSY])._repr_html_()
    assert "<td style='text-align:left'>apply &lt;lambda&gt; (a:5, 12.3 s)</td>" in html and "<lambda>" not in html


def test_what_is_not_known():
    row = repr(Top([{**BUSY, "cpu": None, "memory": None, "name": None, "seconds": None}])).splitlines()[1]
    assert row.split() == ["1", "busy", "here", "17", "?", "?", "3", "apply", "(a:5)"]
    # CTL-08: what an earlier controller has sent.
    assert repr(Top([{**BUSY, "kind": None, "seconds": None, "name": None}])).endswith(" abandoned (a:5)")


def test_no_engines():
    assert repr(Top()).split() == ["engine", "state", "host", "pid", "cpu", "memory", "queue", "task"]
    assert "<tbody></tbody>" in Top()._repr_html_()


def test_stacks():
    assert repr(Stacks({0: "a\nb", 2: "c"})) == "[stacks:0]\na\nb\n[stacks:2]\nc"


class Busy(Client):
    """One whose controller has no time."""

    def __init__(self):
        self.waited = []

    def __repr__(self):
        return "<Client of a busy cluster>"

    def resolve(self, targets):
        return [0], False

    def ask(self, topic, timeout=30.0, **arguments):
        self.waited.append((topic, timeout, arguments))
        raise TimeoutError


def test_a_notebook_does_not_wait_long_for_a_table():
    """A cell is over when its value has been shown."""
    busy = Busy()
    assert busy._repr_html_() == "<div><code>&lt;Client of a busy cluster&gt;</code></div>"
    assert DirectView(busy, [0])._repr_html_() == "<div><code>&lt;DirectView [0]&gt;</code></div>"
    assert busy.waited == [("top", 2.0, {"engines": [0]})] * 2
    with pytest.raises(TimeoutError):
        busy.top()
    assert busy.waited[-1][1] == 30.0
