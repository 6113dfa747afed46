"""What a notebook shows of results and metadata (issue 4, point 6): valid, escaped, and never an error."""

import xml.etree.ElementTree as ET

import pytest

from pxkernel.client import representation
from pxkernel.client.records import Part
from pxkernel.protocol.times import stamp


def part(engine, status=None, started=None, completed=None, submitted=100.0, received=110.0, **record):
    result = Part(f"s:{engine}", engine, "uuid", "apply", "", 1, submitted)
    if status is not None:
        times = {} if started is None else {"started": stamp(started), "completed": stamp(completed)}
        result.finish({"status": status, **times, **record}, [], received)
    return result


ERROR = {"ename": "ValueError", "evalue": "bad", "traceback": [], "mro": [["builtins", "ValueError"]]}


def picture(*parts, now=110.0, fname="f"):
    return ET.fromstring(representation.timeline(fname, parts, now))


def bars(svg):
    return [(float(r.get("x")), float(r.get("width")), r.get("fill"), r.find("title").text) for r in svg.iter("rect")]


def test_who_ran_what_when():
    svg = picture(part(0, "ok", 100.0, 105.0), part(1, "ok", 105.0, 110.0), part(0, "ok", 105.0, 110.0))
    first, second, third = bars(svg)
    assert first[0] < second[0] == third[0] and first[1] == pytest.approx(second[1], abs=0.2)
    assert first[2] == representation.COLOURS["ok"]
    assert first[3] == "f on engine 0: 5 s, ok"
    texts = [text.text for text in svg.iter("text")]
    assert texts[:2] == ["engine 0", "engine 1"] and "0 s" in texts and "10 s" in texts


@pytest.mark.parametrize(
    "made, colour, text",
    [
        (part(0, "error", 100.0, 101.0, error=ERROR), "error", "1 s, error"),
        (part(0, "ok", 100.0, 101.0, failures=[[0, ERROR]]), "error", "1 s, error"),
        (part(0, "aborted", reason="why"), "aborted", "never ran, aborted"),
        (part(0, "died", reason="why"), "error", "never ran, error"),
        (part(0), "running", "has not ended, running"),
        (part(None), "running", "f on waiting: has not ended, running"),
    ],
)
def test_every_end(made, colour, text):
    ((_, width, fill, title),) = bars(picture(made))
    assert fill == representation.COLOURS[colour] and title.endswith(text) and width >= 1


def test_a_result_of_which_nothing_is_done_has_no_picture():
    shown = representation.result("title", "f", [part(0), part(1)], 2.5, 0.0, "tasks")
    assert shown.endswith("</code> 0 of 2 tasks</div>")


def test_names_are_escaped():
    assert bars(picture(part(0, "ok", 100.0, 101.0), fname="<lambda> & 'more'"))[0][3].startswith("<lambda> & 'more' on")


def test_a_clock_that_goes_wrong_stays_in_the_picture():
    ((x, width, _, _),) = bars(picture(part(0, "ok", -1e6, 1e9)))
    assert x == representation.MARGIN and x + width <= representation.WIDTH


@pytest.mark.parametrize("span", [0.0, 1e-6, 0.0123, 7, 86400])
def test_the_axis(span):
    svg = picture(part(0, "ok", 100.0, 100.0 + span, received=100.0 + span), now=100.0 + span)
    ticks = [text.text for text in svg.iter("text")][1:]
    assert ticks[0] == "0 s" and 1 <= len(ticks) <= 7


def test_nothing_and_very_much():
    assert representation.timeline("f", [], 0.0) == ""
    many = representation.timeline("f", [part(0, "ok", 100.0, 101.0)] * 2001, 110.0)
    assert many.count("<rect") == 2000 and "The first 2000 of 2001 calls." in many


def test_a_result():
    parts = [part(0, "ok", 100.0, 101.0), part(1)]
    html = ET.fromstring(f"<body>{representation.result('title', 'f', parts, 2.5, 1.0, 'items')}</body>")
    assert "".join(html.find("div").itertext()) == "'title' 1 of 2 items in 2.5 s, 1 s of work"
    assert html.find("svg") is not None


class Bad:
    def __repr__(self):
        raise ValueError


def test_metadata():
    metadata = part(3, "error", 100.0, 101.0, error=ERROR).metadata()
    metadata["label"] = "<b>" + "x" * 1000
    metadata["data"] = Bad()
    table = ET.fromstring(f"<body>{metadata._repr_html_()}</body>").find("table")
    shown = {row.find("th").text: row.find("td/code").text for row in table}
    assert set(shown) == set(metadata)
    assert shown["engine_id"] == "3" and shown["submitted"].startswith("1970-01-01 00:01:40.000")
    assert shown["label"].startswith("'<b>x") and len(shown["label"]) == 120
    assert shown["data"] == "<its repr failed: ValueError>"


def test_engines():
    class Table:
        def _repr_html_(self):
            return "<table/>"

    assert representation.engines("<a>", Table) == "<div><code>&#x27;&lt;a&gt;&#x27;</code></div><table/>"


def test_engines_that_cannot_be_asked():
    def broken():
        raise TimeoutError

    assert representation.engines(3, broken) == "<div><code>3</code></div>"
