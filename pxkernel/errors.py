"""Every exception of pxkernel.

    PxkernelError                   whatever pxkernel raises; ``engine_info`` says on which engine, if on one
    ├── ClusterError                a controller or an engine could not be started
    ├── ProtocolError               a message with a wrong signature, or one that makes no sense
    ├── NoEnginesRegistered         there is nobody to do the work
    ├── NoData                      the controller keeps no results
    ├── EngineError                 the engine died or left before it answered
    ├── TaskAborted                 the task was taken back before it started
    ├── TaskTimeout                 the task has waited too long for an engine
    │   └── TimeLimitExceeded       it has run too long
    ├── UnmetDependency             an engine has not what the task needs
    │   └── ImpossibleDependency    no engine has it, or another task has not ended as it should
    │       ├── DependencyTimeout   another task has not ended in time; a TaskTimeout as well
    │       └── InvalidDependency   the other task does not exist
    └── RemoteError                 the user's code raised on an engine
        ├── RemoteError[KeyError]   ... something that this process knows as KeyError: it is both (see remote_error)
        ├── CompositeError          several of all these in one; an ExceptionGroup as well
        └── AlreadyDisplayedError   instead of a CompositeError whose members have been shown

A wait that took too long raises Python's own TimeoutError.

Rule 1. A remote exception is text: name, value, rendered traceback, and the *names* of its classes. Nothing is
        unpickled to show it, to catch it, or to send it on.
Rule 2. Who reads the traceback wants the lines of the user's code on the engine. IPython shows those and no others
        (``_render_traceback_``); plain Python shows them below its own, as a note.
Rule 3. The constructor of the original class never runs here. Its arguments stayed on the engine, so the attributes
        which it would have set are None or missing.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import traceback as python_traceback
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from .tracebacks import essence, plain, ranges, to_show

__all__ = [
    *("PxkernelError", "ClusterError", "ProtocolError", "NoEnginesRegistered", "NoData", "EngineError", "TaskAborted"),
    *("NotReadyError", "IPythonError", "KernelError", "AbortedTask", "UnmetDependencyError"),
    *("RemoteError", "CompositeError", "AlreadyDisplayedError", "TimeoutError", "collect_exceptions", "composite_error"),
    *("class_names", "remote_error", "wrap_exception", "unwrap_exception"),
    *("TaskTimeout", "TimeLimitExceeded", "UnmetDependency", "ImpossibleDependency", "DependencyTimeout", "InvalidDependency"),
]

# ipyparallel has this name, and means the same class.
TimeoutError = TimeoutError

EngineInfo = Mapping[str, Any]  # {"engine_id": int, "engine_uuid": str, "method": "execute" | "apply"}


class PxkernelError(Exception):
    """Base of all exceptions that pxkernel raises."""

    engine_info: EngineInfo | None = None

    def __init__(self, *args: object, engine_info: EngineInfo | None = None):
        super().__init__(*args)
        self.engine_info = engine_info


class ClusterError(PxkernelError):
    """A controller or an engine could not be started."""


class ProtocolError(PxkernelError):
    """A message is not signed with this cluster's key, or makes no sense."""


class NoEnginesRegistered(PxkernelError):
    """The cluster, or the selection of targets, has no engine."""


class NoData(PxkernelError):
    """The cluster was started with ``store="none"`` and cannot tell (features HUB-14)."""


class EngineError(PxkernelError):
    """The engine died, or left, before it answered, or its kernel is of another language and cannot do this."""


class TaskTimeout(PxkernelError):
    """A balanced task has waited longer than its ``timeout`` says, and has not run (features LB-07)."""


class TimeLimitExceeded(TaskTimeout):
    """A task has run longer than its ``time_limit`` says: it was interrupted (issue 4, point 4)."""


class UnmetDependency(PxkernelError):
    """An engine has not what a task needs: raise it in a task to have another engine tried (features DEP-05)."""


class ImpossibleDependency(UnmetDependency):
    """No engine has what a task needs, or a task that it depends on did not end as it should (features LB-11)."""


class DependencyTimeout(ImpossibleDependency, TaskTimeout):
    """The tasks that a task depends on have not ended within its ``timeout`` (seed 004; features LB-07)."""


class InvalidDependency(ImpossibleDependency):
    """A task depends on something that is no task, or on one that was forgotten (features LB-10)."""


class TaskAborted(PxkernelError):
    """The task was taken back before it started.

    Parameters
    ----------
    args
        Its message id (features ERR-15).
    reason
        Why, for the text.
    """

    def __init__(self, *args: object, reason: str = "", engine_info: EngineInfo | None = None):
        super().__init__(*args, engine_info=engine_info)
        self.reason = reason

    def __str__(self) -> str:
        return ": ".join(filter(None, [super().__str__(), self.reason]))


#: What ipyparallel has between Exception and its errors, and the names in seed 004.
IPythonError = KernelError = PxkernelError
AbortedTask = TaskAborted
UnmetDependencyError = UnmetDependency


class NotReadyError(RuntimeError, AssertionError):
    """``successful()`` was asked too early: RuntimeError in ipyparallel, AssertionError in multiprocessing."""


# ---- errors of the user's code on an engine


class RemoteError(PxkernelError):
    """An exception that the user's code raised on an engine.

    Made by `remote_error`, which finds out whether this process knows the original class.
    """

    # A class that is mixed in may have properties with these names: found first, these defaults hide them.
    ename: str = ""
    evalue: str = ""
    engine_info: EngineInfo | None = None
    _lines: tuple[str, ...] = ()
    _class_names: tuple[tuple[str, str], ...] = ()

    def __new__(cls, *args: object, **kwargs: object) -> RemoteError:
        return _blank(cls)

    def __init__(
        self,
        ename: str,
        evalue: str,
        traceback: Sequence[str] = (),
        engine_info: EngineInfo | None = None,
        mro: Iterable[Sequence[str]] = (),
    ):
        # No super().__init__(): that would be the constructor of the class mixed in (rule 3).
        self.args = self.ename, self.evalue = ename, evalue
        self.engine_info = engine_info
        text = traceback if isinstance(traceback, str) else "\n".join(traceback)
        self._lines = tuple(text.split("\n")) if text else ()
        self._class_names = tuple((module, qualname) for module, qualname in mro)
        if self._lines:
            BaseException.add_note(self, plain("\n".join(self.render_traceback())))
        if isinstance(self, (SyntaxError, ImportError)):
            # Whoever renders a SyntaxError takes this instead of str().
            self.msg = evalue

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Keep from a class that is mixed in that it has a subclass: it may count them, or want arguments."""

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.ename, self.evalue, self._lines, self.engine_info, self._class_names)
        return remote_error, fields, vars(self)

    @property
    def traceback(self) -> str:
        """The traceback as the engine's IPython rendered it, colours included."""
        return "\n".join(self._lines)

    def __str__(self) -> str:
        return _one_line(_label(self.engine_info), self.ename, self.evalue)

    def __repr__(self) -> str:
        engine_id = self.engine_info.get("engine_id", "?") if self.engine_info else " "
        return f"<Remote[{engine_id}]:{self.ename}({self.evalue})>"

    def render_traceback(self, excid: int | None = None) -> list[str]:
        """Lines to show: which engine, then what its IPython said. (`excid` is for CompositeError.)"""
        return [_label(self.engine_info) + ":", *(self._lines or ["No traceback available"])]

    def print_traceback(self, excid: int | None = None) -> None:
        """Print ``render_traceback(excid)``, in colours where this process shows them."""
        print("\n".join(to_show(self.render_traceback(excid))))

    def _render_traceback_(self) -> list[str]:
        """IPython asks for this before it renders a traceback of its own."""
        return to_show(self.render_traceback())

    def add_hint(self, hint: str) -> None:
        """Have a line shown below the traceback."""
        self._lines = (*self._lines, hint)
        BaseException.add_note(self, hint)


class CompositeError(RemoteError, ExceptionGroup):
    """The errors of several engines, or of several tasks, in one.

    ``except CompositeError`` catches all of them together, ``except* KeyError`` those that are KeyErrors.
    """

    #: How many errors are shown; None shows all. Assign to the class. One that is like none of these is shown as well,
    #: up to as many more.
    tb_limit: int | None = 5
    #: Whether errors that say the same are shown once, with the engines that raised them. Assign to the class.
    grouped: bool = False

    # Part of every RemoteError; here the members have them.
    ename = evalue = traceback = engine_info = None

    def __new__(cls, message: str, errors: Iterable[Exception]) -> CompositeError:
        return ExceptionGroup.__new__(cls, message, tuple(_flat(errors)))

    def __init__(self, message: str, errors: Iterable[Exception]):
        """Nothing to do: an ExceptionGroup takes its arguments in `__new__`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.exceptions), vars(self)

    def derive(self, errors: Sequence[Exception]) -> CompositeError:
        """Called by Python for the parts that ``except*``, `split` and `subgroup` make."""
        return type(self)(self.message, errors)

    @property
    def msg(self) -> str:
        return self.message

    @property
    def elist(self) -> list[tuple[str, str, str, EngineInfo | None]]:
        """One (ename, evalue, traceback, engine_info) for each error."""
        return [_fields(error) for error in self.exceptions]

    def group_by_traceback(self) -> list[CompositeError]:
        """The errors that say the same, together: a CompositeError for each kind, in the order of the first of each.

        They may differ in the number of the cell and in addresses. ``engines`` says who raised them.
        """
        kinds: dict[tuple[str, ...], list[Exception]] = {}
        #: A map sends the tracebacks of its first errors only; the others are like those of the same text.
        traced: dict[tuple[str, ...], tuple[str, ...]] = {}
        for error in self.exceptions:
            ename, evalue, traceback, _ = _fields(error)
            text = (ename, essence([evalue]))
            key = traced.get(text, text) if not traceback else (*text, essence([traceback]))
            traced.setdefault(text, key)
            kinds.setdefault(key, []).append(error)
        return [self.derive(errors) for errors in kinds.values()]

    @property
    def engines(self) -> list[int]:
        """The ids of the engines that raised, sorted, each once."""
        infos = [engine_info for _, _, _, engine_info in self.elist if engine_info]
        return sorted({info["engine_id"] for info in infos if info.get("engine_id") is not None})

    def __str__(self) -> str:
        shown = self._shown()
        lines = [_one_line(label, ename, evalue.partition("\n")[0]) for label, (ename, evalue, _, _) in self._labelled(shown)]
        return "\n".join([self.message, *lines, *self._rest(shown)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.exceptions)})"

    def render_traceback(self, excid: int | None = None) -> list[str]:
        """Lines to show: of the error with index `excid` (not its engine's id), or of the first `tb_limit` ones."""
        if excid is not None:
            return _block(self._member(excid))
        shown, lines = self._shown(), []
        for (label, _), group in zip(self._labelled(shown), shown, strict=True):
            lines += [label + ":", *_block(group[0])[1:], ""]
        return lines + self._rest(shown)

    #: The name in seeds 001 and 002.
    print_tracebacks = RemoteError.print_traceback

    def raise_exception(self, excid: int = 0) -> NoReturn:
        """Raise one of the errors by itself."""
        # Mostly called while this group is handled: without "from None" plain Python would show all of it again.
        raise self._member(excid) from None

    def _member(self, excid: int) -> Exception:
        try:
            return self.exceptions[excid]
        except IndexError:
            raise IndexError(f"an exception with index {excid} does not exist") from None

    def _shown(self) -> list[list[Exception]]:
        """What is shown: groups of errors of which the first is shown for all."""
        kinds = [list(kind.exceptions) for kind in self.group_by_traceback()]
        if self.grouped:
            return kinds[: self.tb_limit]
        shown = [[error] for error in self.exceptions[: self.tb_limit]]
        if self.tb_limit is not None:
            ids = {id(error) for (error,) in shown}
            different = [[kind[0]] for kind in kinds if not any(id(error) in ids for error in kind)]
            shown += different[: self.tb_limit]
        return shown

    @staticmethod
    def _labelled(shown: list[list[Exception]]) -> list[tuple[str, tuple[str, str, str, EngineInfo | None]]]:
        labelled = []
        for group in shown:
            infos = [info for error in group if (info := _fields(error)[3])]
            engines = ranges(info["engine_id"] for info in infos if info.get("engine_id") is not None)
            info = {**infos[0], "engine_id": engines} if engines else (infos[0] if infos else None)
            labelled.append((_label(info), _fields(group[0])))
        return labelled

    def _rest(self, shown: list[list[Exception]]) -> list[str]:
        hidden = len(self.exceptions) - sum(map(len, shown))
        return [f"... {hidden} more exceptions ..."] if hidden else []


class AlreadyDisplayedError(RemoteError):
    """Stands for errors that were shown while they came: IPython shows how many, and nothing else (features ERR-14).

    For code that shows errors itself, as with ``ar.stream_output()``, or that catches this one: ``%px`` shows each error
    once, and raises the CompositeError of the seeds.
    """

    def __init__(self, original_error: Exception):
        self.args = (original_error,)
        #: The CompositeError, or the single RemoteError.
        self.original_error = original_error
        self.ename, self.evalue = type(self).__name__, str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.original_error,)

    def __str__(self) -> str:
        original = self.original_error
        count = len(original.exceptions) if isinstance(original, CompositeError) else 1
        return f"{count} error{'s' if count != 1 else ''}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self})>"

    def render_traceback(self, excid: int | None = None) -> list[str]:
        return [str(self)]


def composite_error(results: Iterable[Any] | Mapping[Any, Any], method: str = "unspecified") -> CompositeError | None:
    """One error for all that went wrong among `results`; None if nothing did.

    Only exceptions of pxkernel count. Any other is a value: the user's function returned it.
    """
    values = results.values() if isinstance(results, Mapping) else results
    errors = [value for value in values if isinstance(value, PxkernelError)]
    return CompositeError(f"one or more exceptions raised in: {method}", errors) if errors else None


def collect_exceptions(results: Any, method: str = "unspecified") -> Any:
    """Pass `results` (a list, or a dict by engine) through; if it has errors, raise them as one CompositeError."""
    error = composite_error(results, method)
    if error is not None:
        raise error
    return results


def wrap_exception(engine_info: EngineInfo | None = None) -> dict[str, Any]:
    """The exception that is being handled as JSON values, for a message (features ERR-21)."""
    error = sys.exception()
    if error is None:
        raise RuntimeError("wrap_exception() is for the place where an exception is handled")
    return {
        "status": "error",
        "ename": type(error).__name__,
        "evalue": str(error),
        "traceback": "".join(python_traceback.format_exception(error)).splitlines(),
        "mro": class_names(type(error)),
        "engine_info": dict(engine_info or {}),
    }


def unwrap_exception(content: Mapping[str, Any]) -> RemoteError:
    """The RemoteError of what `wrap_exception` gave, or of the content of a Jupyter error message (features ERR-21)."""
    return remote_error(
        content["ename"],
        content["evalue"],
        content.get("traceback", ()),
        content.get("engine_info") or None,
        content.get("mro", ()),
    )


# ---- the original class of a remote exception

# They end a process, a generator or a loop: of the engine, not of whoever asks for its result.
_CONTROL = (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, StopAsyncIteration)
# The members of a group stayed on the engine, and a RemoteError is remote as it is.
_NOT_MIXED_IN = (*_CONTROL, BaseExceptionGroup, RemoteError)


def class_names(cls: type[BaseException]) -> list[tuple[str, str]]:
    """What an engine says of the class of an exception, for `remote_error`: each class of its MRO by name."""
    # A class may call anything its module, and a message takes text.
    return [(str(c.__module__), c.__qualname__) for c in cls.__mro__ if c is not object]


def remote_error(
    ename: str,
    evalue: str,
    traceback: Sequence[str] = (),
    engine_info: EngineInfo | None = None,
    mro: Iterable[Sequence[str]] = (),
) -> RemoteError:
    """A RemoteError which the first class of `mro` that this process can import catches too.

    `mro` is what `class_names` gave on the engine. A class with which no instance can be made is passed over.
    """
    fields = ename, evalue, traceback, engine_info, tuple(mro)
    for original in _known_classes(fields[-1]):
        try:
            error = _blank(_mixed(original))
            RemoteError.__init__(error, *fields)
        except Exception:  # a class may do anything when it is subclassed
            continue
        return error
    return RemoteError(*fields)


def _known_classes(mro: Iterable[Sequence[str]]) -> Iterator[type[Exception]]:
    for module, qualname in mro:
        found = _imported(module, qualname)
        if isinstance(found, type) and issubclass(found, Exception):
            if not issubclass(found, _NOT_MIXED_IN) and found is not Exception and found is not PxkernelError:
                yield found


def _imported(module: str, qualname: str) -> object:
    try:
        # sys.modules first, and not only for speed: import_module waits for a module which another thread is importing,
        # and that thread may be waiting for this very result.
        found: Any = sys.modules.get(module) or importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
    except KeyboardInterrupt:
        raise
    except BaseException:  # an import runs any code, sys.exit() included
        return None
    return found


def _no_attribute(self: RemoteError, name: str) -> NoReturn:
    message = f"{type(self).__qualname__} has no {name!r}: what its constructor set stayed on the engine"
    raise AttributeError(message, name=name, obj=self)


# What Python calls of its own accord must not be the original class's (rule 3): it would miss what __init__ sets up. An
# HTTPError, for example, looks up every unknown attribute, even __notes__, in a file that it does not have here.
_PYTHONS_OWN = ("getattribute", "setattr", "delattr", "eq", "ne", "hash", "format", "dir", "setstate")
_SHIELD: dict[str, Any] = {
    **{f"__{name}__": getattr(Exception, f"__{name}__") for name in _PYTHONS_OWN},
    "__getattr__": _no_attribute,
    "__bool__": lambda self: True,
    "__reduce_ex__": lambda self, protocol: self.__reduce__(),
}


@functools.lru_cache(maxsize=256)  # bounded: a notebook defines its classes again and again
def _mixed(original: type[Exception]) -> type[RemoteError]:
    qualname = f"RemoteError[{original.__qualname__}]"
    body = {**_SHIELD, "__module__": __name__, "__qualname__": qualname, "__doc__": RemoteError.__doc__}
    if hasattr(original, "__del__"):
        body["__del__"] = lambda self: None
    # Front ends show __name__ as the error's name, Python's own traceback shows __qualname__.
    mixed = types.new_class(original.__name__, (RemoteError, original), exec_body=lambda ns: ns.update(body))
    if original not in mixed.__mro__ or RemoteError not in mixed.__mro__:
        raise TypeError(f"the metaclass of {original.__qualname__} made something else")
    return mixed


def _blank(cls: type[RemoteError]) -> RemoteError:
    """An instance of `cls` on which no constructor written in Python has run."""
    for base in cls.__mro__:
        new = vars(base).get("__new__")
        if isinstance(new, types.BuiltinFunctionType):
            # Of several bases written in C only that which decides the layout can do it.
            with contextlib.suppress(TypeError):
                return new(cls)
    raise TypeError(f"cannot make an instance of {cls.__qualname__}")


# ---- text


def _label(engine_info: EngineInfo | None) -> str:
    if not engine_info:
        return "[Engine Exception]"
    engine_id = engine_info.get("engine_id")
    return f"[{'?' if engine_id is None else engine_id}:{engine_info.get('method', '?')}]"


def _one_line(label: str, ename: str, evalue: str) -> str:
    return f"{label} {ename}: {evalue}" if evalue else f"{label} {ename}"


def _fields(error: Exception) -> tuple[str, str, str, EngineInfo | None]:
    if isinstance(error, RemoteError):
        return error.ename, error.evalue, error.traceback, error.engine_info
    return type(error).__name__, str(error), "", getattr(error, "engine_info", None)


def _block(error: Exception) -> list[str]:
    if isinstance(error, RemoteError):
        return error.render_traceback()
    ename, evalue, _, engine_info = _fields(error)
    return [_label(engine_info) + ":", f"{ename}: {evalue}" if evalue else ename]


def _flat(errors: Iterable[Exception]) -> Iterator[Exception]:
    for error in errors:
        if isinstance(error, CompositeError):
            yield from error.exceptions
        else:
            yield error
