"""The parts of the benchmarks that need neither a cluster nor another system (issue 5, point 1)."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(script, *arguments):
    command = [sys.executable, BENCHMARKS / script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def cells(text):
    """The rows of a table in Markdown by their first cell."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {line[0]: line[1:] for line in lines}


def test_the_comparison_from_figures_that_were_kept(tmp_path):
    """Medians over the rounds, and the ratio to the best peer that has a figure; bare processes are no peer."""
    rounds = {
        "ray": [{"one": 1.0, "rate": 100.0, "pull": 2.0}, {"one": 3.0, "rate": 100.0, "pull": 2.0}, {"one": 2.0}],
        "dask": [{"one": 9.0, "rate": 500.0}, {}],
        "pool": [{"one": 0.1, "rate": 9000.0}],
        "pxkernel": [{"one": 1.0, "rate": 550.0, "pull": 1.9, "scatter": 1.0}],
    }
    conditions = {"cores": 2, "python": "3.11", "system": "Linux", "packages": {"ray": "2"}}
    kept = tmp_path / "figures.json"
    kept.write_text(json.dumps({"conditions": conditions, "many": False, "workers": 4, "rounds": rounds}))
    text = run("compare.py", "--from", kept)
    rows = cells(text)
    assert rows["no-op on one worker, round trip, ms"] == ["2", "9", "0.1", "1", "2.0 (Ray)"]
    assert rows["2,000 asynchronous no-ops to one worker, /s"] == ["100", "500", "9,000", "550", "1.1 (Dask): not reached"]
    assert rows["pull 100 MB from one, s"] == ["2", "-", "-", "1.9", "1.1 (Ray)"]
    assert rows["scatter 100 MB, s"] == ["-", "-", "-", "1", "-"]
    assert text.splitlines()[-1] == "2 cores, Linux, Python 3.11, ray 2"


def test_a_system_that_has_failed_is_shown_as_such(tmp_path):
    """In every round; one that has a figure for other workers, or in another round, keeps it."""
    rounds = {
        "ray": [{"start16": 4.0, "failed": 1.0}],
        "dask": [{"failed": 1.0}, {"start16": 3.0, "start64": 20.0, "failed": 1.0}],
        "pxkernel": [{"start16": 1.0, "start64": 4.0}],
    }
    conditions = {"cores": 2, "python": "3.11", "system": "Linux", "packages": {}}
    kept = tmp_path / "figures.json"
    kept.write_text(json.dumps({"conditions": conditions, "many": True, "workers": 4, "rounds": rounds}))
    rows = cells(run("compare.py", "--from", kept))
    assert rows["import, start 16 and connect, s"] == ["4", "3", "1", "3.0 (Dask)"]
    assert rows["import, start 64 and connect, s"] == ["failed", "20", "4", "5.0 (Dask)"]


def test_every_kind_of_event_of_the_core_is_timed():
    """Issue 5, point 5: the scenarios end with every task done."""
    rows = cells(run("core_scale.py", "--engines", 10, 20))
    del rows["event, µs"]
    assert {"a call to one engine", "a balanced call, all engines busy", "an engine leaves"} < set(rows)
    assert all(float(figure.replace(",", "")) > 0 for row in rows.values() for figure in row[:2])
