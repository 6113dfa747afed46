"""One search through the records of tasks, done in slices: meanwhile the controller's loop serves everybody else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .entries import FIELDS, PAYLOADS, Entry
from .query import Matcher
from .questions import Question

#: How long a slice takes, in seconds. A record takes about 0.1 ms.
SLICE = 0.01


class Search:
    """A question that is answered when all entries have been looked at.

    Parameters
    ----------
    question
        Gets the records in the order of submission; of payloads the index among those of the answer.
    entries
        What is looked through.
    matches
        What is looked for.
    names
        The fields wanted.
    later
        Has the loop call a function in its next turn.
    """

    def __init__(
        self,
        question: Question,
        entries: Iterable[Entry],
        matches: Matcher,
        names: Sequence[str],
        later: Callable[[Callable[[], None]], None],
    ):
        self._question = question
        self._entries = iter(entries)
        self._matches = matches
        self._names = names
        self._later = later
        #: By id: an entry may move to the store, and be met there again, while the search is going on.
        self._found: dict[str, tuple[int, dict[str, Any]]] = {}
        self._payloads: list[Sequence[Any]] = []

    def run(self) -> None:
        """Look through some entries; the loop calls it until there are no more."""
        end = time.monotonic() + SLICE
        try:
            for entry in self._entries:
                if self._matches(entry):
                    self._found[entry.id] = entry.number, self._record(entry)
                if time.monotonic() > end:
                    self._later(self.run)
                    return
        except Exception as error:  # whoever asks must not wait for ever
            self._question.refuse(error)
            return
        ordered = sorted(self._found.values(), key=lambda found: found[0])
        self._question.answer([record for _, record in ordered], self._payloads)

    def _record(self, entry: Entry) -> dict[str, Any]:
        record = {name: FIELDS[name](entry) for name in self._names}
        for name in PAYLOADS.intersection(self._names):
            if record[name] is not None:
                self._payloads.append(record[name])
                record[name] = len(self._payloads) - 1
        return record
