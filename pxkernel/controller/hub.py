"""What clients can ask about tasks, their own and those of others (features HUB, AMR-02, AMR-03).

Everything is answered from the core's tables and the book; all but queries at once. Results do not travel in answers but
as what they are: ``fetch`` has them delivered again, under the rules for credit that hold for all results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.core import Core
from ..core.tables import Engine
from ..errors import NoData
from .book import Book
from .entries import FIELDS, PAYLOADS, Entry
from .query import matcher, wanted_fields
from .questions import LATER, Question, Questions
from .search import Search

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

    def _queue_status(self, question: Question, engines: list[int], verbose: bool) -> dict[str, Any]:
        """By engine (JSON makes its id a string), and "unassigned": what has no engine yet."""
        done: dict[int | None, list[str]] = {}
        if verbose:
            for entry in self._sorted(self._book.entries()):
                if entry.record is not None:
                    done.setdefault(entry.engine, []).append(entry.id)
        status: dict[str, Any] = {}
        for engine in engines:
            if engine not in self._core.engines:
                raise IndexError(f"No such engine: {engine}")
            status[str(engine)] = self._of_engine(self._core.engines[engine], verbose, done.get(engine, []))
        waiting = self._core.balancer.waiting()
        return {**status, "unassigned": waiting if verbose else len(waiting)}

    def _of_engine(self, engine: Engine, verbose: bool, done: list[str]) -> dict[str, Any]:
        work: dict[bool, list[str]] = {True: [], False: []}
        for task in (*engine.sent, *engine.queue):
            work[self._core.tasks[task].balance is not None].append(task)
        if verbose:
            return {"queue": work[False], "completed": done, "tasks": work[True]}
        return {"queue": len(work[False]), "completed": engine.completed, "tasks": len(work[True])}

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

    def _history(self, question: Question) -> list[str]:
        self._check_store()
        return [entry.id for entry in self._sorted(self._book.entries())]

    @staticmethod
    def _sorted(entries: Any) -> list[Entry]:
        return sorted(entries, key=lambda entry: entry.number)

    def _query(self, question: Question, query: dict[str, Any], keys: list[str] | None) -> Any:
        self._check_store()
        names = wanted_fields(keys)
        entries = self._candidates(query, not PAYLOADS.isdisjoint(names))
        Search(question, entries, matcher(query), names, self._later).run()
        return LATER

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
        for read, _ in reads:
            self._check_name(question, read)
        for read, task in reads:
            self._book.read(read, task)
        return descriptions

    def _resubmit(self, question: Question, tasks: list[list[str]]) -> list[dict[str, Any]]:
        """Do tasks again: ``tasks`` = [new id, old id] pairs.

        Each runs on its engine; one whose engine is gone is balanced. A balanced one is balanced again, on the same terms.
        """
        again = []
        for name, task in tasks:
            self._check_name(question, name)
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

    @staticmethod
    def _check_name(question: Question, name: str) -> None:
        if question.client is None or not name.startswith(question.client + ":"):
            raise ValueError(f"{name!r} is not a name of client {question.client}")

    # -- forgetting ---------------------------------------------------------------------------------------------------

    def _purge(self, question: Question, tasks: list[str] | None, engines: list[int]) -> None:
        """Forget results: those of tasks (None: all), and those of engines. Unknown ids are ignored."""
        for task in tasks or ():
            entry = self._book.get(task)
            if entry is not None and entry.record is None:
                raise IndexError(f"msg pending: {task!r}")
        chosen = set(tasks or ())
        for entry in self._book.entries():
            if entry.record is not None and (tasks is None or entry.engine in engines):
                chosen.add(entry.id)
        self._book.remove(chosen)
