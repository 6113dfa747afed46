"""What clients ask about the life of engines: start, stop, restart, signal (features CLU-06 to CLU-18).

The answer comes when it is done: to a restart when the new kernels are ready, to a stop when the processes have ended.
Nothing is done when one of the engines that a question names does not exist.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import EngineError
from .questions import LATER, Question, Questions
from .roster import Roster

Environment = Mapping[str, str | None]


class Lifecycle:
    """The questions that the roster answers.

    Parameters
    ----------
    roster
        The engines.
    announce
        Tells every client how many engines are to come.
    environments
        What the user has set for the engines that are started first.
    """

    def __init__(self, roster: Roster, announce: Callable[[], None], environments: Sequence[Environment]):
        self._roster = roster
        self._announce = announce
        self._environments = environments

    def answer(self, questions: Questions) -> None:
        """Add the topics to the table."""
        questions.add("engine_sets", lambda question: self._roster.sets())
        questions.add("new_engines", self._reserve)
        questions.add("start_engines", self._start)
        questions.add("stop_engines", self._stop)
        questions.add("restart_engines", self._restart)
        questions.add("signal_engines", self._signal)

    def start_first(self) -> None:
        """Start the engines with which the cluster begins, unless it goes on with those of an earlier controller."""
        if not self._roster.take_over() and self._environments:
            self._start(None, self._roster.reserve(len(self._environments)), None, self._environments)

    def _reserve(self, question: Question, n: int, environment: bool) -> list[int]:
        """The ids of ``n`` engines that are about to be started, with an ``environment`` of their own or without."""
        if not environment:
            self._common_environment()
        return self._roster.reserve(n)

    def _start(
        self,
        question: Question | None,
        engines: Sequence[int],
        set_id: str | None,
        environments: Sequence[Environment] | None,
        kernel: Sequence[Any] | None = None,
    ) -> str:
        """Start engines whose ids were reserved, in a new set or in an existing one; the id of the set."""
        if environments is None:
            environments = [self._common_environment()] * len(engines)
        if set_id is None:
            names = self._roster.sets()
            set_id = next(name for name in map(str, range(len(names) + 1)) if name not in names)
        for engine, environment in zip(engines, environments, strict=True):
            self._roster.start(engine, set_id, environment, None if kernel is None else (kernel[0], kernel[1]))
        self._announce()
        return set_id

    def _common_environment(self) -> Environment:
        first = self._environments[0] if self._environments else {}
        if any(other != first for other in self._environments):
            raise ValueError("the engines of this cluster have different environments: say which new ones get, environment=")
        return first

    def _stop(self, question: Question, engines: Sequence[int]) -> Any:
        answer = self._each(question, engines, self._roster.end)
        self._announce()
        return answer

    def _signal(self, question: Question, engines: Sequence[int], signum: int) -> Any:
        signum = signal.Signals(signum)
        return self._each(question, engines, lambda engine, done: self._roster.signal(engine, signum, done))

    def _each(
        self, question: Question, engines: Sequence[int], act: Callable[[int, Callable[[], None]], None]
    ) -> Any:
        left = dict.fromkeys(engines)
        for engine in left:
            self._roster.find(engine)

        def done(engine: int) -> None:
            del left[engine]
            if not left:
                question.answer()

        for engine in list(left):
            act(engine, lambda engine=engine: done(engine))
        return LATER if engines else None

    def _restart(self, question: Question, engines: Sequence[int]) -> Any:
        for engine in engines:
            self._roster.check_restart(engine)
        for engine in dict.fromkeys(engines):
            self._roster.restart(engine)
        self._announce()

        def done(failures: dict[int, str]) -> None:
            if failures:
                reasons = "\n".join(f"engine {engine} {reason}" for engine, reason in sorted(failures.items()))
                question.refuse(EngineError(f"{len(failures)} engine{'s' * (len(failures) != 1)} could not be restarted:\n{reasons}"))
            else:
                question.answer()

        self._roster.wait_for(engines, done)
        return LATER
