"""What a controller leaves to the next one, and what it finds (features CTL-08).

A cluster that is started so that it can be restored has on disk how it was started, its keys, and a file for each engine
that is ready (``protocol.enginefiles``). When its controller has been killed or has crashed, the engines wait. The next
controller has the same keys, directory and sockets. It takes the engines over by their files: their kernels are not its
children, but are watched, signalled and ended like those that are; it connects to their sockets, and their extensions dial it
(``engine.succession``). Those that have ended meanwhile are known as dead and can be restarted. What was submitted to the old
controller is lost: results that nobody has fetched, and its clients, who have to connect again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..protocol import enginefiles, mailbox
from ..protocol.enginefiles import EngineFile
from ..protocol.processes import identity
from .enginerecord import EngineRecord
from .settings import Settings


class EngineFiles:
    """Keeps the files of the engines up to date.

    Parameters
    ----------
    settings
        Those of the controller: whether its cluster can be restored, and was.

    Attributes
    ----------
    inherited
        The engines of the controller before this one, in the order of their ids.
    """

    def __init__(self, settings: Settings):
        self._directory = None if settings.restore_timeout is None else settings.directory
        self.inherited = enginefiles.read_all(settings.directory) if settings.restored else []

    def keep(self, record: EngineRecord) -> None:
        """An engine is ready."""
        pid = (record.info or {}).get("pid")
        if self._directory is None or record.adopted or pid is None or (process := identity(pid)) is None:
            return
        file = EngineFile(
            record.id, record.incarnation, record.uuid, pid, process, record.has_extension, record.set_id, record.environment,
            record.kernel, record.info or {},
        )  # fmt: skip
        try:
            file.write(self._directory)
        except OSError as error:
            # It works, but not for the next controller.
            print(f"engine {record.id} cannot be restored: {error}", file=sys.stderr, flush=True)

    def drop(self, record: EngineRecord) -> None:
        """An engine is not part of the cluster any more."""
        if self._directory is not None:
            enginefiles.remove(self._directory, record.id)


def make_way(settings: Settings) -> None:
    """Remove the socket on which the controller before this one listened, and the mailboxes of its clients."""
    Path(settings.sockets, "controller").unlink(missing_ok=True)
    mailbox.remove_all(settings.sockets)

