"""The magics of one suffix, and the view that they act on."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import no_var_expand

from ..client.asyncresult import AsyncResult
from ..client.view import DirectView
from . import options
from .autopx import AutoPx

NO_VIEW = (
    "there are no engines for %{magic} yet. Start some:\n"
    "    import pxkernel as px\n"
    "    rc = px.Cluster(n=4).start_and_connect_sync(activate=True)\n"
    "or make a view of engines that you have the one to use: rc[:].activate()"
)


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
        #: Whether %px says where it runs; None: the line magic does, as in every seed, and the cell magic does not.
        self.verbose: bool | None = None
        self._last: AsyncResult | None = None
        self._autopx = AutoPx(shell, f"autopx_cell{suffix}", {name for _, name, _ in self._functions()})

    def register(self) -> None:
        """Give the shell the magics."""
        for kind, name, function in self._functions():
            self.shell.register_magic_function(function, kind, name)

    def unregister(self) -> None:
        """Take them away."""
        self._autopx.disable()
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

    # -- %px ----------------------------------------------------------------------------------------------------------

    @no_var_expand
    def px(self, line: str) -> AsyncResult | None:
        """%px code: run one line on the engines of the active view."""
        return self._run(self._view("px"), line, verbose=self.verbose is not False)

    def cell_px(self, line: str, cell: str) -> Any:
        """%%px [--targets T] [--block | --noblock] [--out NAME] [--local] [--verbose]: run the cell on the engines."""
        view = self._view("px")
        arguments = self._parse(options.cell_parser("px" + self.suffix), line)
        targets = None if arguments.targets is None else options.parse_targets(arguments.targets)
        verbose = arguments.verbose if arguments.verbose is not None else bool(self.verbose)
        return self._run(view, cell, targets, arguments.block, arguments.out, arguments.local, verbose)

    def _run(
        self,
        view: DirectView,
        code: str,
        targets: Any = None,
        block: bool | None = None,
        out: str | None = None,
        local: bool = False,
        verbose: bool = False,
    ) -> AsyncResult | None:
        blocking = view.block if block is None else block
        result = view._execute(code, False, targets, block, "%px", wait=False)
        self._last = result
        if out:
            self.shell.user_ns[out] = result
        if verbose:
            engines = [result.engine_id] if isinstance(result.engine_id, int) else result.engine_id
            print(("Parallel" if blocking else "Async parallel") + f" execution on engines: {engines}")
        if local:
            self.shell.run_cell(code)
        if not blocking:
            return result
        view.get_blocking(result)
        return None

    def _parse(self, parser: Any, line: str) -> argparse.Namespace:
        try:
            return parser.parse_argstring(line)  # type: ignore[no-any-return]
        except ValueError as error:  # a quotation that does not end
            raise UsageError(f"{parser.prog}: {error}") from None

    # -- %pxconfig, %pxresult -----------------------------------------------------------------------------------------

    def pxconfig(self, line: str) -> None:
        """%pxconfig [--targets T] [--block | --noblock] [--verbose | --no-verbose]: set the defaults of %px."""
        arguments = self._parse(options.config_parser("pxconfig" + self.suffix), line)
        view = self._view("pxconfig")
        if arguments.targets is not None:
            targets = options.parse_targets(arguments.targets)
            if targets != "all":
                ids, single = view.client.resolve(targets)
                targets = ids[0] if single else ids
            view.targets = targets
        if arguments.block is not None:
            view.block = arguments.block
        if arguments.verbose is not None:
            self.verbose = arguments.verbose

    def pxresult(self, line: str) -> Any:
        """%pxresult [INDEX] [--out NAME]: the latest result of this view, or that of an index into its history."""
        arguments = self._parse(options.result_parser("pxresult" + self.suffix), line)
        view = self._view("pxresult")
        result = self._result(view, arguments.index)
        if arguments.out:
            self.shell.user_ns[arguments.out] = result
            return None
        result.wait()
        result.display_outputs()
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
        if not jobs or not isinstance(jobs[0], AsyncResult):
            raise UsageError("that result has been forgotten: nobody holds its AsyncResult")
        return jobs[0]

    # -- %autopx ------------------------------------------------------------------------------------------------------

    def autopx(self, line: str) -> None:
        """%autopx: send every cell to the engines, until the next %autopx."""
        self._view("autopx")
        if self._autopx.enabled:
            self._autopx.disable()
            print("Auto Parallel Disabled")
        else:
            self._autopx.enable()
            print(f"Auto Parallel Enabled\nType %autopx{self.suffix} to disable")

    def autopx_cell(self, line: str, cell: str) -> AsyncResult | None:
        """The magic that %autopx turns cells into."""
        return self._run(self._view("autopx"), cell)
