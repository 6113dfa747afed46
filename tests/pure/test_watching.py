"""Following the output of all engines (JUP-09)."""

import json

import pytest

from pxkernel.client.watching import Watching


@pytest.fixture
def watching():
    asked = []
    watching = Watching(lambda topic, **arguments: asked.append((topic, arguments)))
    watching.asked = asked
    return watching


def output(watching, text="x"):
    watching.received(3, "stream", [memoryview(json.dumps({"name": "stdout", "text": text}).encode())])


def test_every_function_gets_every_output_until_it_is_stopped(watching):
    first, second = [], []
    stop_first = watching.add(lambda *seen: first.append(seen))
    stop_second = watching.add(lambda *seen: second.append(seen))
    output(watching)
    stop_first()
    output(watching)
    stop_second()
    stop_second()
    output(watching)
    assert first == [(3, "stream", {"name": "stdout", "text": "x"})]
    assert len(second) == 2
    assert watching.asked[-1] == ("watch", {"on": False})
    assert [arguments["on"] for _, arguments in watching.asked] == [True, True, False]


def test_a_function_that_fails_harms_nobody(watching, capsys):
    seen = []
    watching.add(lambda *_: 1 / 0)
    watching.add(lambda *output: seen.append(output))
    output(watching)
    assert len(seen) == 1 and "ZeroDivisionError" in capsys.readouterr().err


def test_what_cannot_be_called_is_refused(watching):
    with pytest.raises(TypeError, match="expected a function"):
        watching.add("print")
    assert watching.asked == []
