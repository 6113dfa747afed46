"""pxkernel beside ipyparallel, Dask and Ray: ``python tests/benchmarks/compare.py`` (extra ``bench``).

The systems take turns, each in a process of its own for every round and each at every place in the order; a figure is
the median over the rounds. Prints a table in Markdown, with the ratio to the best of the three, and draws it with
``--picture FILE``. ``--many`` measures 16 and 64 workers instead of 4. ``--save FILE`` keeps the figures and ``--from
FILE`` makes table and picture from them. concurrent.futures.ProcessPoolExecutor is shown as the price of bare
processes; it is no peer, and not in the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import MANY, MANY_ROWS, ROWS, Figures, Row, measure, measure_many
from picture import Comparison, draw
from report import conditions, describe, markdown, number, save, saved
from systems import TITLES

OURS = "pxkernel"
PEERS = ("ipyparallel", "dask", "ray")
#: No system takes so many seconds for its turn unless it hangs.
TURN = 300
#: In place of the figures of a system that could not be measured.
FAILED = "failed"
#: The figures of every round, by system.
Rounds = dict[str, list[Figures]]


def in_a_process(system: str, n: int, many: bool) -> Figures:
    """Measure one system; the only figure is ``FAILED`` if that is not possible."""
    command = [sys.executable, __file__, "--system", system, "--workers", str(n), *(["--many"] if many else [])]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=TURN)
        except BaseException as reason:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(reason, subprocess.TimeoutExpired):
                raise
    if process.returncode == 0:
        return json.loads(output.splitlines()[-1])  # type: ignore[no-any-return]
    print(f"{system} has failed with {n} workers", file=sys.stderr, flush=True)
    return {FAILED: 1.0}


def run(systems: list[str], rounds: int, workers: list[int], many: bool) -> Rounds:
    figures: Rounds = {name: [] for name in systems}
    for turn in range(rounds):
        # What one system leaves running for a moment must not always meet the same other one.
        first = turn % len(systems)
        for system in systems[first:] + systems[:first]:
            print(f"round {turn + 1} of {rounds}: {system}", file=sys.stderr, flush=True)
            found: Figures = {}
            for n in workers:
                found |= in_a_process(system, n, many)
            figures[system].append(found)
    return figures


def median(rounds: Rounds, system: str, row: Row) -> float | None:
    found = [figures[row.key] for figures in rounds.get(system, ()) if row.key in figures]
    return statistics.median(found) if found else None


def cell(rounds: Rounds, system: str, row: Row) -> str:
    """The figure of a system, and what is said if there is none."""
    found = median(rounds, system, row)
    return FAILED if found is None and all(FAILED in figures for figures in rounds[system]) else number(found)


def factor(rounds: Rounds, row: Row, other: str) -> float | None:
    """How many times as good as ``other``; None if one of both has no figure."""
    ours, theirs = median(rounds, OURS, row), median(rounds, other, row)
    if ours is None or theirs is None:
        return None
    return ours / theirs if row.more_is_better else theirs / ours


def verdict(rounds: Rounds, row: Row) -> str:
    """How many times as good as the best of the peers, and which that is."""
    factors = {peer: value for peer in PEERS if (value := factor(rounds, row, peer)) is not None}
    if not factors:
        return "-"
    best = min(factors, key=factors.__getitem__)
    return f"{factors[best]:.1f} ({TITLES[best]})" + ("" if factors[best] >= row.floor else ": not reached")


def table(rounds: Rounds, rows: list[Row], n: int) -> str:
    head = ["", *(TITLES[system] for system in rounds), "ratio to the best"]
    lines = []
    for row in rows:
        cells = [cell(rounds, system, row) for system in rounds]
        lines.append([f"{row.text.format(n=n)}, {row.unit}", *cells, verdict(rounds, row)])
    return markdown(head, lines)


def comparison(rounds: Rounds, row: Row, n: int) -> Comparison:
    """A row of the picture."""
    factors = {system: value for system in rounds if (value := factor(rounds, row, system)) is not None and system != OURS}
    text = row.text.format(n=n).replace("`", "")
    return Comparison(text, f"{number(median(rounds, OURS, row))} {row.unit}", row.floor, factors)


def picture(rounds: Rounds, rows: list[Row], n: int, path: Path) -> None:
    """Draw the ratios."""
    found = [one for row in rows if (one := comparison(rounds, row, n)).factors]
    others = {system: TITLES[system] for system in rounds if system != OURS}
    peers = {system: title for system, title in others.items() if system in PEERS}
    draw(found, peers, {system: title for system, title in others.items() if system not in PEERS}, path)


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """A run, as it is saved."""
    workers = list(MANY) if options.many else [options.workers]
    systems = [system for system in options.systems if not (options.many and system == "pool")]
    rounds = run(systems, options.rounds, workers, options.many)
    return {"many": options.many, "workers": options.workers, "rounds": rounds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--systems", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--many", action="store_true", help=f"the table of {' and '.join(map(str, MANY))} workers")
    parser.add_argument("--save", type=Path, metavar="FILE", help="where to keep the figures, as JSON")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="kept", help="figures that were kept, instead of a run")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where to draw the ratios")
    parser.add_argument("--system", choices=TITLES, help="measure this one here and print JSON")
    options = parser.parse_args()
    # Whoever ends this must not leave a system behind.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    if options.system:
        print(json.dumps((measure_many if options.many else measure)(options.system, options.workers)))
        return
    data = saved(options.kept) if options.kept else {"conditions": conditions(), **measured(options)}
    if options.save:
        save(data, options.save)
    rows = MANY_ROWS if data["many"] else ROWS
    print(f"{table(data['rounds'], rows, data['workers'])}\n\n{describe(data['conditions'])}")
    if options.picture:
        picture(data["rounds"], rows, data["workers"], options.picture)
    if any(FAILED in figures for figures in data["rounds"].get(OURS, ())):
        raise SystemExit(f"{OURS} has failed")


if __name__ == "__main__":
    main()
