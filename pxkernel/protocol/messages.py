"""The messages of the front: what clients, controller and engines say to each other.

Rule 1: a message is a named tuple whose fields are JSON values. Rule 2: what users' code made (pickles, source
code, output) is never in a field but in ``payloads``, a tuple of frame lists that the controller passes on unread.
Rule 3: a field that lists tasks may name one or thousands; nobody sends a message per task when more are waiting.

========== ============================= ===========================================
direction  message                       meaning
========== ============================= ===========================================
any → c    Hello                         "I am here": a client, or an engine
c → any    Welcome, Refused              the answer to Hello
client → c Submit, Abort, Interrupt, Ask work, and what to do about it
c → client Results, Outputs, Settled,    what became of it
           Started, EnginesChanged,
           Answer
c → engine Run, Release                  a window of tasks
c → engine Recall, Interrupt             to a thread of the engine, which reads them while a task runs
engine → c Finished, Recalled, Leave     what became of them; Finished may reach the client directly as well
e → c → cl InputRequest                  code that runs asks its user
cl → c → e InputReply                    the answer
any        Ack                           credit: so many bytes have been dealt with
========== ============================= ===========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

#: The iopub message type of ``publish_data``: its content is empty, its buffers are a pickle.
DATA = "pxkernel_data"

#: What an engine sends on a comm, a widget's connection to a front end.
COMM_TYPES = frozenset({"comm_open", "comm_msg", "comm_close"})
#: One payload: the frame that is interpreted (a pickle, source code, JSON), then its out-of-band buffers.
Payload = Sequence[Any]


class Hello(NamedTuple):
    """Opens a conversation.

    ``role`` is "client", "engine" or "listener" (the second connection of an engine, for what must reach it while it is
    busy). An engine that the cluster started names its ``engine_id``; a kernel that asks to
    be adopted leaves it None and puts its connection information into ``info["connection"]``. One that greets the controller
    after its first says in ``info["running"]`` what it still runs.
    """

    role: str
    session: str
    pid: int
    engine_id: int | None
    info: dict[str, Any]


class Welcome(NamedTuple):
    """The controller accepts; ``engines`` lists the engines that are ready."""

    engine_id: int | None
    engines: list[dict[str, Any]]
    info: dict[str, Any]


class Refused(NamedTuple):
    """The controller does not take the sender of a Hello, or no longer knows an engine."""

    reason: str


class Submit(NamedTuple):
    """Work for engines: ``calls[i] = [kind, options, [[task_id, engine_id], ...]]`` uses ``payloads[i]``.

    A balanced call has None for its engines, and a fourth element: the fields of its ``core.Terms`` that are not the default.
    """

    calls: list[list[Any]]
    payloads: tuple[Payload, ...] = ()


class Abort(NamedTuple):
    """Do not start these tasks."""

    tasks: list[str]


class Interrupt(NamedTuple):
    """Interrupt those of the tasks that run and abort the others; to an engine: interrupt them, now or when they start.

    With ``only_now`` only what runs when this arrives: one of the tasks, or a cell of another front end.
    """

    tasks: list[str]
    only_now: bool = False


class Ask(NamedTuple):
    """A question that has one Answer: ``topic`` names it, ``arguments`` are its keywords.

    ``after`` are tasks whose results the client has from their engines, which the controller has to know when it answers.
    """

    number: int
    topic: str
    arguments: dict[str, Any]
    after: Sequence[str] = ()
    payloads: tuple[Payload, ...] = ()


class Answer(NamedTuple):
    """The answer to Ask ``number``; ``error`` is None or {ename, evalue, mro} of the exception that there is instead."""

    number: int
    value: Any
    error: dict[str, Any] | None
    payloads: tuple[Payload, ...] = ()


class Results(NamedTuple):
    """``results[i] = [task_id, record]`` with ``payloads[i]``.

    The record is that of ``Finished``, and has ``engine``, the id of the engine where it ran (None: nowhere). For a task
    that no engine reports its ``status`` may also be "aborted", "died", "overtime", "timeout", "dependency_timeout",
    "impossible" or "invalid", and ``reason`` says more.
    """

    results: list[list[Any]]
    payloads: tuple[Payload, ...] = ()


class Outputs(NamedTuple):
    """``outputs[i] = [task_id, msg_type, engine_id]``; ``payloads[i]`` is the JSON content of that iopub message."""

    outputs: list[list[Any]]
    payloads: tuple[Payload, ...] = ()


class Settled(NamedTuple):
    """``tasks[i] = [task_id, dropped]``: all output of these tasks has been passed on, except so many bytes."""

    tasks: list[list[Any]]


class Started(NamedTuple):
    """These tasks, which the client wanted to take back, have started, and go on."""

    tasks: list[str]


class EnginesChanged(NamedTuple):
    """Engines that are ready now, ``left`` = [engine_id, reason] of those that are gone, and those that are ``restarting``.

    ``prospects``: how many engines the cluster is to have ("expected"), how many of them are not ready yet ("coming").
    """

    joined: list[dict[str, Any]]
    left: list[list[Any]]
    restarting: list[int]
    prospects: dict[str, int]


class Run(NamedTuple):
    """``tasks[i] = [task_id, kind, options]`` with ``payloads[i]``: run them in this order."""

    tasks: list[list[Any]]
    payloads: tuple[Payload, ...] = ()


class Recall(NamedTuple):
    """Give these tasks back unless they have started."""

    tasks: list[str]


class Release(NamedTuple):
    """Stop being an engine of this cluster; the kernel goes on."""

    reason: str


class Finished(NamedTuple):
    """``results[i] = [task_id, record]`` with ``payloads[i]``.

    The record holds ``status`` ("ok" or "error"), ``started`` and ``completed`` (``times``, engine clock), for errors
    ``error`` = {ename, evalue, traceback, mro}, for a map ``failures`` = [index, error] pairs, ``quiet`` = True when the
    task has made no output, so that no Settled follows, ``unmet`` = True when it wants another engine, and ``mailed`` =
    True when its client has this message as well (``mailbox``).
    """

    results: list[list[Any]]
    payloads: tuple[Payload, ...] = ()


class Recalled(NamedTuple):
    """The answer to Recall: these tasks had not started and will not, and those that have ``started``."""

    tasks: list[str]
    started: list[str]


class InputRequest(NamedTuple):
    """The code of ``task`` waits for its user; the payload is the content of a Jupyter ``input_request``."""

    task: str
    payloads: tuple[Payload, ...] = ()


class InputReply(NamedTuple):
    """What the user of ``task`` has typed; the payload is the content of a Jupyter ``input_reply``.

    The value "\\x04" is the end of the input, as in Jupyter: nobody answers.
    """

    task: str
    payloads: tuple[Payload, ...] = ()


class Leave(NamedTuple):
    """The engine goes."""

    reason: str


class Ack(NamedTuple):
    """``amount`` bytes of what was received (output has an account of its own) have been dealt with."""

    amount: int
    outputs: bool = False


Message = (
    Hello | Welcome | Refused | Submit | Abort | Interrupt | Ask | Answer | Results | Outputs | Settled | Started
    | EnginesChanged | Run | Recall | Release | Finished | Recalled | InputRequest | InputReply | Leave | Ack
)  # fmt: skip
