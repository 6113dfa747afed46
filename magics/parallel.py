"""The magics of one suffix, and the view that they act on."""

from __future__ import annotations

import argparse
import signal
from dataclasses import asdict, dataclass
from typing import Any

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand

from ..client.asyncresult import AsyncResult
from ..client.progress import noninteractive
from ..client.view import DirectView
from . import completion, options, waiting
from .autopx import AutoPx

NO_VIEW = (
    "there are no engines for %{magic} yet. Start some:\n"
    "    import pxkernel as px\n"
    "    rc = px.Cluster(n=4).start_and_connect_sync(activate=True)\n"
    "or make a view of engines that you have the one to use: rc[:].activate()"
)


@dataclass(frozen=True, slots=True)
class Defaults:
    """What ``%px`` and ``%%px`` do unless they are told otherwise; ``%pxconfig`` sets it.

    Attributes
    ----------
    verbose
        Say where code runs; None: the line magic does, as in every seed, and the cell magic does not.
    stream
        Show output as it comes.
    progress_after
        Seconds until a progress bar appears; -1: never.
    signal_on_interrupt
        What an interrupt sends to the engines, 0: nothing.
    """

    verbose: bool | None = None
    stream: bool = True
    progress_after: float = 2.0
    signal_on_interrupt: int = signal.SIGINT

    def overridden(self, arguments: argparse.Namespace) -> Defaults:
        """These, with what the user has given."""
        given = vars(arguments)
        return Defaults(**{name: value if given[name] is None else given[name] for name, value in asdict(self).items()})


class ParallelMagics:
    """``%px`` and its relatives for one view.

    Parameters
    ----------
    shell
        The IPython shell.
    suffix
        Is appended to every name, so that several views can be active at once.
    """

    def __init__(self, shell: Any, suffix: str = ""):
        self.shell = shell
        self.suffix = suffix
        #: The view that the magics act on, None before one is activated.
        self.view: DirectView | None = None
        self.defaults = Defaults(stream=not noninteractive())
        self._last: AsyncResult | None = None
        self._matcher = completion.matcher(f"pxkernel{suffix}", self.find)
        self._autopx = AutoPx(shell, f"autopx_cell{suffix}", {name for _, name, _ in self._functions()})

    def register(self) -> None:
        """Give the shell the magics."""
        for kind, name, function in self._functions():
            self.shell.register_magic_function(function, kind, name)
        self.shell.Completer.custom_matchers.append(self._matcher)

    def unregister(self) -> None:
        """Take them away."""
        self._autopx.disable()
        self.shell.Completer.custom_matchers.remove(self._matcher)
        for kind, name, _ in self._functions():
            self.shell.magics_manager.magics[kind].pop(name, None)

    def _functions(self) -> list[tuple[str, str, Any]]:
        functions: list[tuple[str, str, Any]] = [
            ("line", "px", self.px),
            ("cell", "px", self.cell_px),
            ("line", "autopx", self.autopx),
            ("cell", "autopx_cell", self.autopx_cell),
            ("line", "pxconfig", self.pxconfig),
            ("line", "pxresult", self.pxresult),
        ]
        named = [(kind, name + self.suffix, function) for kind, name, function in functions]
        return named if self.suffix else [*named, ("line", "result", self.pxresult)]

    def _view(self, magic: str) -> DirectView:
        if self.view is None:
            raise UsageError(NO_VIEW.format(magic=magic + self.suffix))
        return self.view

    def find(self, text: str) -> tuple[DirectView, Any, int] | None:
        """Who runs ``text``: a view, targets (None: those of the view), and where the code for it begins; None: we do not."""
        if self.view is None:
            return None
        head, magic = text.partition("\n")[0], "px" + self.suffix
        targets, start = None, 0
        try:
            if head.split(" ")[0].rstrip() == f"%%{magic}":
                start = len(head) + 1
                targets = options.parse(options.cell_parser(magic), head[len(magic) + 2 :]).targets
            elif head.startswith(f"%{magic} "):
                given, code = options.split(head[len(magic) + 2 :])
                start = len(head) - len(code)
                targets = options.parse(options.cell_parser(magic), given).targets
            elif not self._autopx.sends(text.splitlines()):
                return None
        except UsageError:
            return None
        return self.view, targets, start

    # -- %px ----------------------------------------------------------------------------------------------------------

    @no_var_expand
    def px(self, line: str) -> AsyncResult | None:
        """%px [options] code: run one line on the engines of the active view (features MG-02).

        The options are those of %%px; a line that is Python as it stands has none. Where a variable ``px`` exists, as
        after ``import pxkernel as px``, only ``%px`` with its percent sign is the magic.
        """
        view = self._view("px")
        given, code = options.split(line)
        arguments = options.parse(options.cell_parser("%px" + self.suffix), self.shell.var_expand(given))
        return self._run(view, code, arguments, verbose=self.defaults.verbose is not False)

    def cell_px(self, line: str, cell: str) -> AsyncResult | None:
        """%%px [options]: run the cell on the engines (features MG-04 to MG-13).

        -t, --targets T           engines: an id, ids with commas, a slice such as ::2, or "all"
        -b, --block               wait for the result; -a, --noblock: return an AsyncResult at once
        -o, --out NAME            bind NAME to the AsyncResult, here
        --local                   run the cell here as well
        --stream, --no-stream     show output as it comes, or at the end
        --group-outputs G         its order at the end: "type", "engine" (-e) or "order" (-r)
        --progress-after S        seconds until a progress bar appears; -1: never
        --signal-on-interrupt S   what an interrupt sends to the engines; 0: nothing
        --timeout SECONDS         how long it may run on an engine; then it is interrupted, and fails
        --verbose, --no-verbose   say where the cell runs
        """
        view = self._view("px")
        arguments = options.parse(options.cell_parser("%%px" + self.suffix), line)
        return self._run(view, cell, arguments, verbose=bool(self.defaults.verbose))

    def _run(self, view: DirectView, code: str, arguments: argparse.Namespace, verbose: bool) -> AsyncResult | None:
        blocking = view.block if arguments.block is None else arguments.block
        choice = self.defaults.overridden(arguments)
        _resolve(view, arguments.targets)
        made: list[AsyncResult] = []
        try:
            where = arguments.targets, arguments.block
            result = view._execute(code, False, *where, "%px", made=made.append, time_limit=arguments.timeout)
            self._last = result
            if arguments.out:
                self.shell.user_ns[arguments.out] = result
            if verbose if arguments.verbose is None else arguments.verbose:
                print(("Parallel" if blocking else "Async parallel") + f" execution on engines: {_named(result.engine_id)}")
            if not blocking and choice.stream:
                waiting.follow(result)
            if arguments.local:
                self._run_here(code)
            if not blocking:
                return result
            self._wait(result, arguments, choice)
        except KeyboardInterrupt:
            if blocking and made:
                waiting.interrupt(view, made[0], choice.signal_on_interrupt)
            raise
        if (error := result.exception()) is not None:
            raise error.with_traceback(None)
        return None

    def _run_here(self, code: str) -> None:
        done = self.shell.run_cell(code)
        if isinstance(done.error_in_exec, KeyboardInterrupt):
            # IPython has shown it, and the engines run the same.
            raise done.error_in_exec.with_traceback(None)

    def _wait(self, result: AsyncResult, arguments: argparse.Namespace, choice: Defaults) -> None:
        stream = choice.stream and not arguments.local
        waiting.wait(result, stream, -1 if arguments.local else choice.progress_after)
        if not stream:
            waiting.show(result, arguments.group_outputs)
        if pages := next((part.pages for part in result._parts if part.pages), None):
            # What several engines say about a name is the same.
            for content in pages:
                page.page(content)

    # -- %pxconfig, %pxresult -----------------------------------------------------------------------------------------

    def pxconfig(self, line: str) -> None:
        """%pxconfig [options]: set the defaults of %px and %%px (features MG-14).

        Targets and block are those of the view, the others belong to the magics. Options: --targets, --block, --noblock,
        --verbose, --no-verbose, --stream, --no-stream, --progress-after, --signal-on-interrupt, as in %%px.
        """
        arguments = options.parse(options.config_parser("%pxconfig" + self.suffix), line)
        view = self._view("pxconfig")
        if arguments.targets is not None:
            ids, single = _resolve(view, arguments.targets)
            view.targets = "all" if arguments.targets == "all" else ids[0] if single else ids
        if arguments.block is not None:
            view.block = arguments.block
        self.defaults = self.defaults.overridden(arguments)

    def pxresult(self, line: str) -> Any:
        """%pxresult [INDEX] [options]: the latest result of this view, or that of an index into its history (MG-15).

        -o, --out NAME       bind NAME to the AsyncResult instead of waiting for it
        --group-outputs G    the order of its output: "type", "engine" (-e) or "order" (-r)
        """
        arguments = options.parse(options.result_parser("%pxresult" + self.suffix), line)
        view = self._view("pxresult")
        result = self._result(view, arguments.index)
        if arguments.out:
            self.shell.user_ns[arguments.out] = result
            return None
        result.wait()
        waiting.show(result, arguments.group_outputs)
        value = view.get_blocking(result)
        # The values of a cell have just been displayed.
        return None if result._parts and result._parts[0].method == "execute" else value

    def _result(self, view: DirectView, index: int | None) -> AsyncResult:
        if index is None and self._last is not None and (not view.history or view.history[-1] in self._last.msg_ids):
            return self._last
        if not view.history:
            raise UsageError("there is no result yet: use %px or a method of the view first")
        try:
            jobs = view.client._jobs(view.history[-1 if index is None else index])
        except IndexError:
            raise UsageError(f"the view has made {len(view.history)} calls, there is no index {index}") from None
        if jobs and isinstance(jobs[0], AsyncResult):
            return jobs[0]
        # Nobody holds it here, but the controller keeps results for a while.
        return view.client.get_result(view.history[-1 if index is None else index], block=False)

    # -- %autopx ------------------------------------------------------------------------------------------------------

    def autopx(self, line: str) -> None:
        """%autopx: send every cell to the engines, until the next %autopx. It has no options."""
        options.parse(options.no_parser("%autopx" + self.suffix), line)
        self._view("autopx")
        if self._autopx.enabled:
            self._autopx.disable()
            print("Auto Parallel Disabled")
        else:
            self._autopx.enable()
            print(f"Auto Parallel Enabled\nType %autopx{self.suffix} to disable")

    def autopx_cell(self, line: str, cell: str) -> AsyncResult | None:
        """The magic that %autopx turns cells into."""
        arguments = options.parse(options.cell_parser("%autopx"), "")
        return self._run(self._view("autopx"), cell, arguments, verbose=self.defaults.verbose is not False)


def _resolve(view: DirectView, targets: Any) -> tuple[list[int], bool]:
    """As ``Client.resolve``, None being the targets of the view; that there are no such engines is an error of usage."""
    try:
        return view._resolve(targets)
    except IndexError as error:
        raise UsageError(str(error)) from None


def _named(engines: Any, most: int = 10) -> str:
    """The ids of engines, of many only the first and the last ones."""
    ids = [engines] if isinstance(engines, int) else list(engines)
    if len(ids) <= most:
        return str(ids)
    return "[" + ", ".join([*map(str, ids[:4]), "...", *map(str, ids[-4:])]) + "]"
