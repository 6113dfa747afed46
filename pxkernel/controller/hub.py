"""What clients can ask about tasks, their own and those of others (features HUB, AMR-02, AMR-03).

Everything is answered from the core's tables and the book; what looks at all records is done in slices. Results do not
travel in answers but as what they are: ``fetch`` has them delivered again, under the rules for credit that hold for all results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.core import Core
from ..core.tables import Engine
from ..errors import NoData
from ..protocol.mailbox import MAILBOX
from .book import Book
from .entries import FIELDS, PAYLOADS, Entry
from .query import matcher, wanted_fields
from .questions import Question, Questions
from .search import Steps, in_slices, listed, pages, search

#: Has a call done: ``accept(client, kind, options, payload, targets, terms)``.
Accept = Callable[..., None]
#: The fields from which a client makes the metadata of somebody else's result.
DESCRIPTION = ("msg_id", "engine_id", "engine_uuid", "kind", "label", "submitted", "execute_input")


class Hub:
    """Answers questions about tasks.

    Parameters
    ----------
    core, book
        Where tasks are, and what is known of them.
    accept
        Has a call done, as if its client had submitted it.
    later
        Has the loop call a function in its next turn.
    """

    def __init__(self, core: Core, book: Book, accept: Accept, later: Callable[[Callable[[], None]], None]):
        self._core = core
        self._book = book
        self._accept = accept
        self._later = later

    def answer(self, questions: Questions) -> None:
        """Add the topics."""
        questions.add("queue_status", self._queue_status)
        questions.add("result_status", self._result_status)
        questions.add("history", self._history)
        questions.add("query", self._query)
        questions.add("fetch", self._fetch)
        questions.add("resubmit", self._resubmit)
        questions.add("purge", self._purge)
        # Whoever asks knows by the answer that what it sent before has been dealt with.
        questions.add("acknowledge", lambda question: None)

    # -- looking ------------------------------------------------------------------------------------------------------

    def _queue_status(self, question: Question, engines: list[int] | None, verbose: bool) -> Any:
        """Numbers by engine (JSON makes its id a string; None: all engines), and "unassigned": what has no engine yet.

        ``verbose``: the ``pages`` of the ids instead, as "engine name" and "unassigned".
        """
        engines = sorted(self._core.engines) if engines is None else engines
        for engine in engines:
            if engine not in self._core.engines:
                raise IndexError(f"No such engine: {engine}")
        if verbose:
            return in_slices(question, self._queues(engines), self._later)
        status = {str(engine): self._counts(self._core.engines[engine]) for engine in engines}
        return {**status, "unassigned": len(self._core.balancer)}

    def _counts(self, engine: Engine) -> dict[str, int]:
        balanced = len(self._sent(engine, balanced=True))
        direct = len(engine.sent) - balanced + len(engine.queue)
        return {"queue": direct, "completed": engine.completed, "tasks": balanced}

    def _sent(self, engine: Engine, balanced: bool) -> list[str]:
        return [task for task in engine.sent if (self._core.tasks[task].balance is not None) is balanced]

    def _queues(self, engines: list[int]) -> Steps:
        # What is done comes last: what ends meanwhile is in both, and nothing is in neither.
        lists: dict[str, Iterable[str]] = {"unassigned": self._core.balancer.waiting()}
        for engine in map(self._core.engines.__getitem__, engines):
            lists[f"{engine.id} queue"] = [*self._sent(engine, balanced=False), *engine.queue]
            lists[f"{engine.id} tasks"] = self._sent(engine, balanced=True)
        done = yield from listed(self._book.entries(), lambda entry: None if entry.record is None else entry.engine)
        lists |= {f"{engine} completed": done.get(engine, ()) for engine in engines}
        return (yield from pages(lists))

    def _entry(self, task: str) -> Entry:
        entry = self._book.get(task)
        if entry is None:
            self._check_store()
            raise KeyError(f"No such message: {task}")
        return entry

    def _check_store(self) -> None:
        if not self._book.keeps:
            raise NoData("this cluster keeps no results: it was started with store='none'")

    def _result_status(self, question: Question, tasks: list[str]) -> dict[str, list[str]]:
        entries = list(map(self._entry, tasks))
        pending = [entry.id for entry in entries if entry.record is None]
        return {"pending": pending, "completed": [entry.id for entry in entries if entry.record is not None]}

    def _history(self, question: Question) -> Any:
        """The ``pages`` of the ids of all entries, as "history"."""
        self._check_store()
        return in_slices(question, self._all_ids(), self._later)

    def _all_ids(self) -> Steps:
        found = yield from listed(self._book.entries(), lambda entry: "history")
        return (yield from pages({"history": found.get("history", ())}))

    def _query(self, question: Question, query: dict[str, Any], keys: list[str] | None) -> Any:
        self._check_store()
        names = wanted_fields(keys)
        entries = self._candidates(query, not PAYLOADS.isdisjoint(names))
        return in_slices(question, search(entries, matcher(query), names), self._later)

    def _candidates(self, query: dict[str, Any], payloads: bool) -> Any:
        task = query.get("msg_id")
        if not isinstance(task, str):
            return self._book.entries(payloads)
        entry = self._book.get(task)
        return [] if entry is None else [entry]

    # -- results of others, and again ---------------------------------------------------------------------------------

    def _describe(self, tasks: Iterable[str]) -> list[dict[str, Any]]:
        return [{name: FIELDS[name](entry) for name in DESCRIPTION} for entry in map(self._entry, tasks)]

    def _fetch(self, question: Question, reads: list[list[str]]) -> list[dict[str, Any]]:
        """Deliver results: ``reads`` = [name of this delivery, task] pairs.

        The answer, what is known of the tasks, arrives before the results.
        """
        descriptions = self._describe(task for _, task in reads)
        self._check_names(question, [read for read, _ in reads])
        for read, task in reads:
            self._book.read(read, task)
        return descriptions

    def _resubmit(self, question: Question, tasks: list[list[str]]) -> list[dict[str, Any]]:
        """Do tasks again: ``tasks`` = [new id, old id] pairs.

        Each runs on its engine; one whose engine is gone is balanced. A balanced one is balanced again, on the same terms.
        """
        again = []
        self._check_names(question, [name for name, _ in tasks])
        for name, task in tasks:
            entry = self._book.get(task)
            if entry is None:
                self._check_store()
                raise KeyError(f"No such msg(s): {[task]}")
            if entry.request is None:
                raise KeyError(f"the request of {task} is not kept any more")
            again.append((name, entry))
        for name, entry in again:
            # Nobody waits in a cell that could show a prompt.
            options = {**entry.options, "allow_stdin": False, "label": entry.label, "time_limit": entry.time_limit}
            # The client learns of the new tasks with the answer: nothing may come before.
            options.pop(MAILBOX, None)
            engine, terms = self._place_again(entry)
            self._accept(question.client or "", entry.kind, options, entry.request or (), [(name, engine)], terms)
            self._book.resubmitted(entry.id, name)
        return self._describe(name for name, _ in again)

    def _place_again(self, entry: Entry) -> tuple[int | None, dict[str, Any] | None]:
        """The engine for a task that is done again, or the terms of a balanced one.

        What it depends on may have been forgotten: then it is over, and where the task has to follow it is where it ran.
        """
        engine = entry.engine if entry.engine in self._core.engines else None
        if entry.terms is None:
            return (engine, None) if engine is not None else (None, {})
        terms = dict(entry.terms)
        forgotten = [name for name in ("after", "follow") if not self._knows_all(terms.get(name))]
        for name in forgotten:
            del terms[name]
        if "follow" in forgotten and engine is not None:
            terms["targets"] = [engine]
        return None, terms

    def _knows_all(self, dependency: Sequence[Any] | None) -> bool:
        return dependency is None or all(map(self._core.balancer.knows, dependency[0]))

    def _check_names(self, question: Question, names: Sequence[str]) -> None:
        if (why := self._book.refuses(question.client, names)) is not None:
            raise ValueError(why)

    # -- forgetting ---------------------------------------------------------------------------------------------------

    def _purge(self, question: Question, tasks: list[str] | None, engines: list[int]) -> Any:
        """Forget results: those of tasks (None: all), and those of engines. Unknown ids are ignored."""
        return in_slices(question, self._forget(tasks, engines), self._later)

    def _forget(self, tasks: list[str] | None, engines: list[int]) -> Steps:
        for task in tasks or ():
            entry = self._book.get(task)
            if entry is not None and entry.record is None:
                raise IndexError(f"msg pending: {task!r}")
            yield
        chosen = list(tasks or ())
        for entry in self._book.entries() if tasks is None or engines else ():
            if entry.record is not None and (tasks is None or entry.engine in engines):
                chosen.append(entry.id)
            yield
        while chosen:
            self._book.remove([chosen.pop()])
            yield
        return None, ()
