"""What a client can do to engines beside giving them work (features CTL; seed 004, "Controlling the Engines").

All of it overtakes what waits in the queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..engine import namespace as remote
from ..protocol.clusterfile import ClusterFile
from ..protocol.messages import Abort, Interrupt, Message
from ..protocol.pack import pack_call
from .asyncresult import AsyncResult
from .signals import number_of

if TYPE_CHECKING:
    from .records import Part
    from .targets import Targets

#: How long engines may take to end or to be restarted, in seconds.
END_TIMEOUT = 60.0


class Control:
    """The part of Client that controls engines."""

    if TYPE_CHECKING:
        block: bool
        ids: list[int]
        _file: ClusterFile
        _pending: dict[str, tuple[AsyncResult, Part]]

        def ask(self, topic: str, timeout: float | None = 30.0, **arguments: Any) -> Any: ...
        def ask_async(self, topic: str, **arguments: Any) -> Future[Any]: ...
        def resolve(self, targets: Targets) -> tuple[list[int], bool]: ...
        def submit(self, kind: str, calls: Any, make: Callable[..., Any], **options: Any) -> Any: ...
        def close(self) -> None: ...
        def send(self, message: Message) -> None: ...
        def refuse_io_thread(self) -> None: ...
        def _ids_of(self, jobs: Any) -> list[str]: ...
        def _taken_back(self, jobs: Any) -> list[str]: ...

    def abort(self, jobs: Any = None, targets: Targets = None, block: bool | None = None) -> Future[None] | None:
        """Take back what has not started of some calls: it fails with TaskAborted (features CTL-03; seed 004).

        What runs goes on: there is ``interrupt``.

        Parameters
        ----------
        jobs
            As in ``wait``; None: all calls of this client that are not finished.
        targets
            What these engines have to do of them; None: all.
        block
            Wait until the controller has seen to it; None: as ``rc.block`` says. Nothing of it starts afterwards, except
            what an engine begins at this very moment.

        Returns
        -------
        A Future, or with ``block`` None.

        Raises
        ------
        KeyError, IndexError, TypeError
            There is no such call; nothing is aborted.
        """
        if targets is None:
            tasks = self._taken_back(jobs)
        else:
            tasks = self._ids_of(jobs)
            engines = self.resolve(targets)[0]
            pending = {msg_id: part.engine_id for msg_id, (_, part) in list(self._pending.items())}
            tasks = [task for task in tasks if pending.get(task) in engines]
        self.send(Abort(tasks))
        # Messages are dealt with in their order.
        return self._waited(self.ask_async("acknowledge", use=_nothing), block)

    def interrupt(self, jobs: Any = None) -> None:
        """Interrupt what runs of ``jobs`` (as in ``wait``), which fails with KeyboardInterrupt, and abort the rest."""
        self.send(Interrupt(self._taken_back(jobs)))

    def clear(self, targets: Targets = None, block: bool | None = None) -> AsyncResult | None:
        """Empty the namespaces of engines, their In and Out as well (features CTL-04).

        It runs before everything that waits, and after what runs.

        Parameters
        ----------
        targets
            None: all engines.
        block
            Wait for it; None: as ``rc.block`` says.

        Returns
        -------
        An AsyncResult, or with ``block`` None.

        Raises
        ------
        IndexError, NoEnginesRegistered
            An engine does not exist, or there is none.
        """
        engines, single = self.resolve(targets)

        def make(client: Any, parts: Sequence[Part]) -> AsyncResult:
            return AsyncResult(client, parts, "clear", single)

        result: AsyncResult = self.submit("control", [(pack_call(remote.clear, (), {}), engines)], make)
        if not (self.block if block is None else block):
            return result
        result.get()
        return None

    def send_signal(self, sig: int | str, targets: Targets = None, block: bool | None = None) -> Future[None] | None:
        """Send a signal to the processes of engines, busy or not (features CTL-01; seeds 000 and 003, "Signaling engines").

        ``SIGINT`` ends what an engine is doing with a KeyboardInterrupt, whoever has submitted it (CTL-02), and does
        nothing to an engine that is idle. To interrupt calls of this client only there is ``rc.interrupt``.

        Parameters
        ----------
        sig
            A number or a name such as "SIGUSR1"; 0 is nothing.
        targets
            None: all engines.
        block
            Wait until it is sent; None: as ``rc.block`` says.

        Returns
        -------
        A Future, or with ``block`` None.

        Raises
        ------
        AttributeError, ValueError
            There is no signal with this name, with this number.
        TypeError
            It is neither.
        """
        signum = number_of(sig)
        engines, _ = self.resolve(targets)
        if not signum:
            return self._waited(self.ask_async("acknowledge", use=_nothing), block)
        return self._waited(self.ask_async("signal_engines", use=_nothing, engines=engines, signum=signum), block)

    def shutdown(
        self, targets: Targets = "all", restart: bool = False, hub: bool = False, block: bool | None = None
    ) -> Future[None] | None:
        """End engines, or the whole cluster (features CTL-05).

        Parameters
        ----------
        targets
            The engines; "all" or None: all that there are.
        restart
            Start them again, with the same ids and empty namespaces.
        hub
            End the controller as well, and with it every engine; this client is closed, the others are told.
        block
            Wait until it is done; None: as ``rc.block`` says.

        Returns
        -------
        A Future, or with ``block`` None.

        Raises
        ------
        ValueError
            ``hub`` is wanted together with ``restart``, or with some engines only.
        IndexError
            An engine does not exist.
        EngineError
            With ``restart``: an engine has not come back. It is a RemoteError, too.
        """
        everything = targets is None or (isinstance(targets, str) and targets == "all")
        if hub and (restart or not everything):
            raise ValueError("hub=True ends the whole cluster: it goes neither with restart nor with some targets only")
        if hub:
            answer = self._waited(self.ask_async("stop", use=lambda _: self.close()), block)
            if answer is None:
                self._await_end()
            return answer
        engines = [] if everything and not self.ids else self.resolve(targets)[0]
        topic = "restart_engines" if restart else "stop_engines"
        return self._waited(self.ask_async(topic, use=_nothing, engines=engines), block)

    def _waited(self, answer: Future[None], block: bool | None) -> Future[None] | None:
        if not (self.block if block is None else block):
            return answer
        self.refuse_io_thread()
        answer.result(END_TIMEOUT)
        return None

    def _await_end(self) -> None:
        """Wait until the controller, which has just answered for the last time, has put its files away."""
        end = time.monotonic() + END_TIMEOUT
        while self._file.alive() and time.monotonic() < end:
            time.sleep(0.02)

    def spin(self) -> None:
        """Nothing: results arrive by themselves (features RC-29; seed 004)."""

    def spin_thread(self, interval: float = 1.0) -> None:
        """Nothing, as ``spin`` (features RC-29)."""

    def stop_spin_thread(self) -> None:
        """Nothing, as ``spin`` (features RC-29)."""


def _nothing(answered: Any) -> None:
    """The value of the futures of what has none."""

