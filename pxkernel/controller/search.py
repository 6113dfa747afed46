"""Answers for which all records of tasks are looked at, made in slices: meanwhile the loop serves everybody else.

Each is a generator of *steps*: it yields after every small step, and returns the answer, a value and payloads. Lists of
ids, which may have a million, go as payloads, *pages* of JSON: they are encoded page by page.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import islice
from typing import Any

from .entries import FIELDS, PAYLOADS, Entry
from .query import Matcher
from .questions import LATER, Question

#: How long a slice takes, in seconds. A record takes about 0.1 ms.
SLICE = 0.01
#: How many ids are on a page.
PAGE = 5000

#: The value of an answer, and its payloads.
Answer = tuple[Any, Sequence[Sequence[Any]]]
Steps = Generator[None, None, Answer]
#: Has the loop call a function in its next turn.
Later = Callable[[Callable[[], None]], None]


def in_slices(question: Question, steps: Steps, later: Later) -> Any:
    """Answer a question when the steps to its answer have been done, a slice of them in each turn of the loop."""

    def run() -> None:
        end = time.monotonic() + SLICE
        try:
            for _ in steps_of:
                if time.monotonic() > end:
                    later(run)
                    return
        except Exception as error:  # whoever asks must not wait for ever
            question.refuse(error)

    def answered() -> Generator[None, None, None]:
        question.answer(*(yield from steps))

    steps_of = answered()
    run()
    return LATER


def search(entries: Iterable[Entry], matches: Matcher, names: Sequence[str]) -> Steps:
    """The records of the entries that match, in the order of submission; of payloads the index among those of the answer.

    Parameters
    ----------
    entries
        What is looked through.
    matches
        What is looked for.
    names
        The fields wanted.
    """
    # By id: an entry may move to the store, and be met there again, while the search is going on.
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    payloads: list[Sequence[Any]] = []
    for entry in entries:
        if matches(entry):
            found[entry.id] = entry.number, _record(entry, names, payloads)
        yield
    ordered = sorted(found.values(), key=lambda found: found[0])
    return [record for _, record in ordered], payloads


def _record(entry: Entry, names: Sequence[str], payloads: list[Sequence[Any]]) -> dict[str, Any]:
    record = {name: FIELDS[name](entry) for name in names}
    for name in PAYLOADS.intersection(names):
        if record[name] is not None:
            payloads.append(record[name])
            record[name] = len(payloads) - 1
    return record


def listed(entries: Iterable[Entry], key: Callable[[Entry], Any]) -> Generator[None, None, dict[Any, Iterator[str]]]:
    """The ids of the entries with each key, in the order of submission; those with the key None are left out."""
    # Sorting all of them at once would be one long step.
    runs: dict[Any, list[list[tuple[int, str]]]] = {}
    for entry in entries:
        if (of := key(entry)) is not None:
            found = runs.setdefault(of, [[]])
            found[-1].append((entry.number, entry.id))
            if len(found[-1]) == PAGE:
                found[-1].sort()
                found.append([])
        yield
    for found in runs.values():
        found[-1].sort()
    return {of: _merged(found) for of, found in runs.items()}


def _merged(runs: list[list[tuple[int, str]]]) -> Iterator[str]:
    last = -1
    iterators = list(map(iter, runs))
    # Each run is freed when it has been read: to free all of them at the end would be one long step.
    runs.clear()
    for number, task in merge(*iterators):
        # It may have moved to the store, and have been met there again.
        if number != last:
            yield task
        last = number


def pages(lists: Mapping[str, Iterable[str]]) -> Steps:
    """Lists of ids as an answer: the value says of each which payloads it has, [first, behind the last]."""
    payloads: list[Sequence[bytes]] = []
    places = {}
    for name, ids in lists.items():
        first, rest = len(payloads), iter(ids)
        while page := list(islice(rest, PAGE)):
            payloads.append([json.dumps(page).encode()])
            yield
        places[name] = [first, len(payloads)]
    return places, payloads
