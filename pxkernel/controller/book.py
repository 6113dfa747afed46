"""The book: what the controller keeps of each task beside where it is, which the core knows.

::

    submitted ──▶ open: payload, output, result ──▶ delivered and all output here ──▶ store

An entry is open until its client has the result (or has left) and all of its output has come. Then it moves to the store,
which forgets the oldest when it is over its budget. What nobody has yet is never forgotten: it goes to the disk.

A *read* is one delivery of a result to somebody who asked for it again. Its name is made by the client, like the id of a
task, and it waits until the entry moves to the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from ..kernels.channels import KernelMessage
from ..protocol.sharing import size
from .entries import Entry
from .spill import Spill
from .store import Store


class Book:
    """The entries of all tasks.

    Parameters
    ----------
    store
        Where entries go that are delivered.
    uuid_of
        The uuid of an engine by its id, "" if it is gone.
    ready
        ``ready(read, size)`` is called when what a read waits for is there; ``size`` is that of the result.
    spill
        The budget of the results that nobody has yet.
    """

    def __init__(self, store: Store, uuid_of: Callable[[int], str], ready: Callable[[str, int], None], spill: Spill):
        self._store = store
        self._spill = spill
        self._uuid_of = uuid_of
        self._ready = ready
        #: The entries that are not in the store yet.
        self.open: dict[str, Entry] = {}
        self._numbers = count(store.first_number)
        #: What a read is of, and how many bytes were announced: (task, size).
        self._reads: dict[str, tuple[str, int]] = {}
        #: The reads that wait for a task.
        self._waiting: dict[str, list[str]] = {}

    def refuses(self, client: str | None, names: Sequence[str]) -> str | None:
        """Why these cannot be the names of a client's new tasks or reads; None: they can.

        Two tasks of one name would ruin the queue of an engine for everybody.
        """
        # The prefix says whose output it is: a client cannot name the tasks of another.
        prefix = f"{client}:"
        for name in names:
            if client is None or not name.startswith(prefix):
                return f"{name!r} is not a name of client {client}"
            if name in self.open or name in self._reads:
                return f"{name!r} is taken"
        return "the same name twice" if len(names) > 1 and len(set(names)) < len(names) else None

    # -- the life of an entry -----------------------------------------------------------------------------------------

    def submitted(
        self,
        client: str,
        kind: str,
        options: dict[str, Any],
        payload: Sequence[Any],
        targets: Iterable[tuple[str, int | None]],
        terms: dict[str, Any] | None = None,
    ) -> int:
        """Open the entries of one call: ``targets`` = (task, engine) pairs, ``terms`` those of a balanced one.

        The bytes of its payload.
        """
        now, amount = time.time(), size(payload)
        label, limit = options.pop("label", None), options.pop("time_limit", None)
        for task, engine in targets:
            uuid = "" if engine is None else self._uuid_of(engine)
            number = next(self._numbers)
            self.open[task] = Entry(
                task, client, kind, options, payload, number, now, label, terms, engine, uuid,
                time_limit=limit, request_size=amount,
            )  # fmt: skip
        return amount

    def add_output(self, task: str, message: KernelMessage) -> None:
        """Keep an output of an open task."""
        entry = self.open.get(task)
        if entry is not None:
            entry.add_output(message)

    def finished(
        self, task: str, engine: int | None, record: dict[str, Any], result: Sequence[Any], mailed: bool = False
    ) -> int:
        """The result of an open task is here; a task that is run again has another one later.

        ``mailed``: its client has it from the engine. The bytes of the result.
        """
        entry, amount = self.open[task], size(result)
        if entry.delivered:
            return amount
        self._spill.release(entry.held)
        entry.result, entry.held = self._spill.take(result, amount)
        entry.result_size = amount
        entry.record, entry.received, entry.mailed = record, time.time(), mailed
        entry.settled = bool(record.get("quiet"))
        if engine != entry.engine:
            entry.engine, entry.engine_uuid = engine, "" if engine is None else self._uuid_of(engine)
        return amount

    def settled(self, task: str) -> None:
        """All output of a task has come."""
        entry = self.open.get(task)
        if entry is not None:
            entry.settled = True
            if entry.delivered:
                self._close(entry)

    def delivered(self, task: str) -> None:
        """The client of a task has its result."""
        entry = self.open[task]
        entry.delivered = True
        self._spill.release(entry.held)
        entry.held = 0
        if entry.settled:
            self._close(entry)

    def left(self, task: str) -> None:
        """The client of a task, or of a read, has left."""
        entry = self.open.get(task)
        if entry is None:
            self._reads.pop(task, None)
            return
        if entry.record is None:
            entry.record = {"status": "aborted", "reason": "its client left before it started"}
            entry.received, entry.settled = time.time(), True
        self.delivered(task)

    def _close(self, entry: Entry) -> None:
        # Before the store has it: a result that is too large for the store still reaches those who wait for it.
        for read in self._waiting.pop(entry.id, ()):
            self._announce(read, entry)
        del self.open[entry.id]
        if not entry.purged:
            self._store.add(entry)

    @property
    def keeps(self) -> bool:
        """Whether results can be asked for after they have been delivered."""
        return self._store.keeps

    # -- reading ------------------------------------------------------------------------------------------------------

    def get(self, task: str) -> Entry | None:
        """An entry, open or kept."""
        entry = self.open.get(task)
        if entry is None:
            return self._store.get(task)
        return None if entry.purged else entry

    def entries(self, payloads: bool = False) -> Iterator[Entry]:
        """All entries, open and kept; without ``payloads`` these may be missing."""
        # Whoever reads may stop in between, while entries move to the store.
        open_entries = list(self.open.values())
        yield from self._store.entries(payloads)
        yield from (entry for entry in open_entries if not entry.purged)

    def read(self, read: str, task: str) -> None:
        """Have the result of a task delivered again, now or when it is there.

        Raises
        ------
        KeyError
            It is neither open nor kept.
        """
        kept = None if task in self.open else self._store.get(task)
        if kept is None and task not in self.open:
            raise KeyError(f"No such message: {task}")
        self._reads[read] = task, 0
        if kept is None:
            self._waiting.setdefault(task, []).append(read)
        else:
            self._announce(read, kept)

    def _announce(self, read: str, entry: Entry) -> None:
        if read in self._reads:
            self._reads[read] = entry.id, entry.result_size
            self._ready(read, entry.result_size)

    def take(self, read: str) -> tuple[Entry | None, int]:
        """At the delivery of a read: the entry, None if it has been forgotten meanwhile, and the bytes announced."""
        task, announced = self._reads.pop(read)
        return self.get(task), announced

    # -- changes ------------------------------------------------------------------------------------------------------

    def resubmitted(self, task: str, again: str) -> None:
        """A task was submitted once more, under the id ``again``."""
        entry = self.get(task)
        if entry is not None:
            entry.resubmitted = again
            if task not in self.open:
                self._store.add(entry)

    def remove(self, tasks: Iterable[str]) -> None:
        """Forget these entries, which have their results; their clients still get them."""
        for task in tasks:
            if task in self.open:
                self.open[task].purged = True
            else:
                self._store.remove([task])

    def close(self) -> None:
        self._store.close()
