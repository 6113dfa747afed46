"""What a client can ask about tasks: its own, those of other clients, and those it has let go (features HUB, RC-22).

The controller answers from its tables and from its store of delivered results, which is bounded: the oldest results are
forgotten first (``Cluster(store=..., store_limit=...)``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from itertools import count
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from .asyncresult import AsyncResult
from .jobs import call_at
from .questions import Answered, Use, as_it_is
from .records import Part

if TYPE_CHECKING:
    from .targets import Targets

#: A message id, an index into the history, an AsyncResult, or several of these.
Jobs = int | str | AsyncResult | Sequence[int | str | AsyncResult]
#: The fields of a record that are times.
TIMES = ("submitted", "started", "completed", "received")
#: The fields of a record that are frames.
BUFFERS = ("buffers", "result_buffers")


class AsyncHubResult(AsyncResult):
    """The future of tasks that another client has submitted, or whose results this one has let go (features AMR-02).

    It is told when the results are there; nothing polls. Output of a task comes with its result, not before.
    """

    _type_name = "AsyncHubResult"


class HubQueries:
    """The part of Client that asks the controller about tasks."""

    if TYPE_CHECKING:
        block: bool
        history: list[str]
        ids: list[int]
        _session: str
        _numbers: count[int]
        _submitted: int
        _pending: dict[str, tuple[AsyncResult, Part]]
        _known: WeakValueDictionary[str, AsyncResult]

        def ask(self, topic: str, timeout: float | None = 30.0, use: Use = ..., **arguments: Any) -> Any: ...
        def resolve(self, targets: Targets) -> tuple[list[int], bool]: ...

    # -- results ------------------------------------------------------------------------------------------------------

    def get_result(
        self, indices_or_msg_ids: Jobs | None = None, block: bool | None = None, owner: bool = True
    ) -> AsyncResult:
        """The AsyncResult of any calls: of this client, or of another one (features RC-22, AMR-03, HUB-15).

        Parameters
        ----------
        indices_or_msg_ids
            A message id, an index into ``history``, an AsyncResult, or a list of these; None: the last call.
        block
            Wait until it is ready; None: as ``rc.block`` says.
        owner
            Accepted for ipyparallel's sake: here a result belongs to everybody who holds it.

        Returns
        -------
        AsyncResult
            The one that the call has returned, if it is still around; otherwise an AsyncHubResult. Its ``get()`` gives one
            value for a single id, and a list for a list.

        Raises
        ------
        KeyError
            There is no such message, or its result is not kept any more. It is a RemoteError, too.
        IndexError
            There is no call with this index.
        NoData
            It is not this client's, and the cluster keeps no results.
        TypeError
            This is none of the above.
        """
        msg_ids, single = self._msg_ids(-1 if indices_or_msg_ids is None else indices_or_msg_ids)
        known = self._known.get(msg_ids[0]) if msg_ids else None
        if known is not None and known.msg_ids == msg_ids and known._single == single:
            result = known
        else:
            result = self._fetch(msg_ids, single)
        if self.block if block is None else block:
            result.wait()
        return result

    def _msg_ids(self, jobs: Any) -> tuple[list[str], bool]:
        """The message ids, and whether they are those of a single result."""
        if isinstance(jobs, AsyncResult):
            return jobs.msg_ids, jobs._single
        if isinstance(jobs, str):
            return [jobs], True
        if isinstance(jobs, int) and not isinstance(jobs, bool):
            return [call_at(self.history, jobs)], True
        if isinstance(jobs, list | tuple | set):
            return [msg_id for job in jobs for msg_id in self._msg_ids(job)[0]], False
        raise TypeError(f"Expected msg_id, int, or AsyncResult, got {jobs!r}")

    def _fetch(self, msg_ids: Sequence[str], single: bool) -> AsyncHubResult:
        # A delivery has a name of its own: the same result may be on its way twice.
        reads = [[self._new_id(), msg_id] for msg_id in msg_ids]
        return self._registered("fetch", reads, single, {"reads": reads})

    def resubmit(
        self, indices_or_msg_ids: Jobs | None = None, metadata: None = None, block: bool | None = None
    ) -> AsyncHubResult:
        """Do calls once more, under new ids, with what was sent then (features HUB-06).

        Each runs where it ran before. What was balanced, and what was done by an engine that is gone, is balanced.

        Parameters
        ----------
        indices_or_msg_ids, block
            As in ``get_result``. The calls may be of other clients, and need not be finished.
        metadata
            Must be None: a call keeps its own.

        Returns
        -------
        AsyncHubResult
            Its ``get()`` gives one value for a single id, and a list for a list.

        Raises
        ------
        KeyError
            There is no such message, or what was sent is not kept any more; nothing is submitted.
        """
        if metadata is not None:
            raise TypeError("metadata must be None: a call that is submitted again keeps its own")
        msg_ids, single = self._msg_ids(-1 if indices_or_msg_ids is None else indices_or_msg_ids)
        tasks = [[self._new_id(), msg_id] for msg_id in msg_ids]
        self._submitted = next(self._numbers)
        result = self._registered("resubmit", tasks, single, {"tasks": tasks})
        for msg_id in result.msg_ids:
            self._known[msg_id] = result
            self.history.append(msg_id)
        if self.block if block is None else block:
            result.wait()
        return result

    def _new_id(self) -> str:
        return f"{self._session}:{next(self._numbers)}"

    def _registered(
        self, topic: str, names: Sequence[Sequence[str]], single: bool, arguments: dict[str, Any]
    ) -> AsyncHubResult:
        """Ask for deliveries; ``names`` = [id under which it is delivered, task] pairs."""

        def register(answered: Answered) -> AsyncHubResult:
            # Before the results, which follow at once.
            parts = [_part(description) for description in answered[0]]
            result = AsyncHubResult(self, parts, "unknown", single)  # type: ignore[arg-type]
            for (name, _), part in zip(names, parts, strict=True):
                self._pending[name] = result, part
            return result

        return self.ask(topic, use=register, **arguments)  # type: ignore[no-any-return]

    # -- status -------------------------------------------------------------------------------------------------------

    def queue_status(self, targets: Targets = "all", verbose: bool = False) -> dict[Any, Any]:
        """What the engines have to do and have done (features HUB-01; seed 004, "Querying the Hub").

        Returns
        -------
        dict
            ``{engine: {"queue": n, "completed": n, "tasks": n}, "unassigned": n}``: direct calls that are not finished,
            calls that are, balanced calls on that engine, and balanced calls that have no engine yet. With ``verbose``
            lists of message ids instead of numbers. For a single target, its inner dict only.

        Raises
        ------
        IndexError
            An engine does not exist.
        """
        # All engines are those of the moment in which the controller answers.
        engines, single = (None, False) if targets is None or _is_all(targets) else self.resolve(targets)
        status: dict[Any, Any] = {}
        if verbose:
            lists = _lists(self.ask("queue_status", use=as_it_is, engines=engines, verbose=True))
            unassigned: Any = lists.pop("unassigned")
            for place, ids in lists.items():
                engine, name = place.split()
                status.setdefault(int(engine), {})[name] = ids
        else:
            answer = self.ask("queue_status", engines=engines, verbose=False)
            unassigned = answer.pop("unassigned")
            status = {int(engine): counts for engine, counts in answer.items()}
        return status[engines[0]] if single and engines else {**status, "unassigned": unassigned}

    def result_status(self, msg_ids: Jobs, status_only: bool = True) -> dict[str, Any]:
        """Which calls are finished (features HUB-02).

        Parameters
        ----------
        msg_ids
            As in ``get_result``.
        status_only
            False: the results of what is finished, too, by message id.

        Returns
        -------
        dict
            ``{"status": "ok", "pending": [...], "completed": [...]}``

        Raises
        ------
        KeyError
            There is no such message, or it is not kept any more. It is a RemoteError, too.
        RemoteError
            With ``status_only=False``: a call has failed.
        """
        wanted, _ = self._msg_ids(msg_ids)
        own = [msg_id for msg_id in wanted if (entry := self._pending.get(msg_id)) is not None and not entry[1].done]
        answer = self.ask("result_status", tasks=[msg_id for msg_id in wanted if msg_id not in own])
        status = {"status": "ok", "pending": own + answer["pending"], "completed": answer["completed"]}
        if not status_only:
            results = {msg_id: self.get_result(msg_id, block=False) for msg_id in answer["completed"]}
            status.update((msg_id, result.get()) for msg_id, result in results.items())
        return status

    def hub_history(self) -> list[str]:
        """The ids of the calls of all clients that the controller knows of, in the order of submission (HUB-03)."""
        return _lists(self.ask("history", use=as_it_is))["history"]

    def db_query(self, query: dict[str, Any], keys: str | Collection[str] | None = None) -> list[dict[str, Any]]:
        """The records of calls that match a query in the style of MongoDB (features HUB-04, HUB-11).

        ``rc.db_query({"completed": {"$gt": hour_ago}, "label": {"$glob": "run-*"}}, keys=["engine_id", "stdout"])``

        Parameters
        ----------
        query
            Fields and conditions, all of which must hold: a value (None: there is none), or operators: ``$eq $ne $lt $lte
            $gt $gte $in $nin $all $mod $exists $glob $not``, and instead of a field ``$and $or $nor`` with a list of
            queries. Times are datetimes; one without time zone means local time.
        keys
            The fields wanted, ``msg_id`` always; None: all but ``buffers`` and ``result_buffers``, the frames of the payloads.

        Returns
        -------
        list of dict
            In the order of submission; times with time zone.

        Raises
        ------
        KeyError
            There is no such field or operator; the text lists those that there are. It is a RemoteError, too.
        TypeError, ValueError
            The operand of an operator is of the wrong kind.
        """
        if not isinstance(query, dict):
            raise TypeError(f"a query must be a dict, not {query!r}")
        if keys is not None and not isinstance(keys, str | Collection):
            raise TypeError(f"keys must be the name of a field, several of them, or None, not {keys!r}")
        wanted = [keys] if isinstance(keys, str) else keys if keys is None else list(keys)
        records, payloads = self.ask("query", use=as_it_is, query=_stamps(query), keys=wanted)
        return [_record(record, payloads) for record in records]

    # -- forgetting ---------------------------------------------------------------------------------------------------

    def purge_results(self, jobs: Jobs | Literal["all"] = (), targets: Targets = ()) -> None:
        """Forget results, here and in the controller (features HUB-07; seed 004).

        Parameters
        ----------
        jobs
            As in ``get_result``, or "all".
        targets
            All that these engines have done.

        Raises
        ------
        ValueError
            Neither is given.
        RuntimeError
            Calls of this client have not finished.
        IndexError
            A call of another client has not finished. It is a RemoteError, too.
        """
        self.purge_local_results(jobs, targets)
        self.purge_hub_results(jobs, targets)

    def purge_local_results(self, jobs: Jobs | Literal["all"] = (), targets: Targets = ()) -> None:
        """Forget results here: ``get_result`` asks the controller for them (features HUB-08). As ``purge_results``."""
        msg_ids, engines = self._purged(jobs, targets)
        unfinished = {msg_id for msg_id, (_, part) in list(self._pending.items()) if not part.done}
        if msg_ids is None:
            outstanding = unfinished.intersection(self.history)
        else:
            outstanding = unfinished.intersection(msg_ids)
        if outstanding:
            raise RuntimeError(f"Can't purge outstanding tasks: {outstanding}")
        for msg_id, result in list(self._known.items()):
            of_engines = result.done() and not set(engines).isdisjoint(part.engine_id for part in result._parts)
            if msg_ids is None or msg_id in msg_ids or of_engines:
                self._known.pop(msg_id, None)

    def purge_hub_results(self, jobs: Jobs | Literal["all"] = (), targets: Targets = ()) -> None:
        """Forget results in the controller, for all clients (features HUB-09). As ``purge_results``.

        Ids that it does not know are ignored. What has not reached its client yet still does.
        """
        msg_ids, engines = self._purged(jobs, targets)
        self.ask("purge", tasks=msg_ids, engines=engines)

    def _purged(self, jobs: Any, targets: Any) -> tuple[list[str] | None, list[int]]:
        """The message ids (None: all), and the engines."""
        if _is_all(jobs) or _is_all(targets):
            return None, []
        # 0 is an engine, and the index of a call.
        if _is_nothing(jobs) and _is_nothing(targets):
            raise ValueError("Must specify at least one of `targets` and `jobs`")
        msg_ids = [] if _is_nothing(jobs) else self._msg_ids(jobs)[0]
        return msg_ids, [] if _is_nothing(targets) else self.resolve(targets)[0]

    def purge_everything(self) -> None:
        """Forget all results, here and in the controller, and the history of this client (features HUB-10).

        Raises
        ------
        RuntimeError
            Calls of this client have not finished.
        """
        self.purge_results("all")
        self.history.clear()


def _part(description: dict[str, Any]) -> Part:
    method = "execute" if description["kind"] in ("execute", "cell") else "apply"
    engine, uuid = description["engine_id"], description["engine_uuid"] or ""
    code = description["execute_input"] or ""
    part = Part(description["msg_id"], engine, uuid, method, code, 1, description["submitted"])
    part.label = description["label"]
    return part


def _is_all(wanted: Any) -> bool:
    return isinstance(wanted, str) and wanted == "all"


def _is_nothing(wanted: Any) -> bool:
    return wanted is None or (isinstance(wanted, list | tuple | set) and not wanted)


def _stamps(value: Any) -> Any:
    """A query as JSON values, with datetimes as seconds since the epoch."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {key: _stamps(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_stamps(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Real):
        # A number of numpy.
        return int(value) if isinstance(value, Integral) else float(value)
    raise TypeError(f"a query is made of texts, numbers, datetimes, lists and dicts, not {value!r}")


def _lists(answered: Answered) -> dict[str, list[str]]:
    """The lists of ids of an answer that has them in its payloads, page by page (``controller.search``)."""
    places, payloads = answered
    return {
        name: [msg_id for (page,) in payloads[first:behind] for msg_id in json.loads(bytes(page))]
        for name, (first, behind) in places.items()
    }


def _datetime(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _record(record: dict[str, Any], payloads: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A record as users see it."""
    convert: dict[str, Callable[[Any], Any]] = {name: _datetime for name in TIMES}
    for name in BUFFERS:
        convert[name] = lambda index: None if index is None else [bytes(frame) for frame in payloads[index]]
    for name in ("header", "result_header"):
        convert[name] = lambda header: header and {**header, "date": _datetime(header["date"])}
    convert["result_metadata"] = lambda known: known and {
        **known, "started": _datetime(known["started"]), "completed": _datetime(known["completed"])
    }  # fmt: skip
    return {name: convert[name](value) if name in convert else value for name, value in record.items()}
