"""How a process finds a running cluster: one directory per cluster, with a cluster file in it.

::

    <Jupyter's runtime directory>/pxkernel/<cluster id>/    mode 0700, gone when the cluster has stopped;
                                                            "<profile>@<cluster id>" in a profile of its own
        cluster.json          mode 0600: where the controller listens, and the key
        settings.json         how it was started, if a new controller may take its engines over: see ``enginefiles``
        kernel-<engine>-<incarnation>.json    Jupyter connection files, for ``jupyter console --existing``
        *.log                 what the controller and the engines wrote to their own stdout and stderr
    <socket directory>        the same directory if its path is short enough for Unix sockets

The controller's socket is the proof of life: nobody listens on it, the cluster is gone.

A copy of the file is all that a client on another machine needs, if the controller listens there as well (``url``).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

from jupyter_core.paths import jupyter_runtime_dir

from ..errors import ClusterError
from .processes import exists

DEFAULT_PROFILE = "default"
#: The id of the cluster that ``pxcluster start`` starts and ``Cluster.from_file()`` finds without arguments.
DEFAULT_ID = ""
#: Names the cluster of a process: a cluster id or the path of a cluster file.
ENVIRONMENT = "PXKERNEL_CLUSTER"
#: Set by the controller for the engines that it starts: JSON {"id", "incarnation", "crash_log"}, and "on_start" (a file) and
#: "restore" (how many seconds to wait for a new controller) if that is wanted.
LAUNCHED = "PXKERNEL_ENGINE"
FILE_NAME = "cluster.json"
#: In the directory of a cluster that can be restored: how it was started.
SETTINGS = "settings.json"
#: How long a controller may take to accept a connection, in seconds.
PROBE_TIMEOUT = 2.0
_DEFAULT_FOLDER = "default"
#: In a cluster's directory: the process that has made it.
_STARTER = "starter.pid"
#: sun_path holds 108 bytes on Linux and 104 on macOS; a socket's own name needs about 24 of them.
_LONGEST_SOCKET_DIRECTORY = 78


@dataclass(frozen=True, slots=True)
class ClusterFile:
    """What a cluster file says."""

    cluster_id: str
    directory: str
    sockets: str
    #: Where the controller listens, ``ipc://...``.
    address: str
    #: The secret that signs every message, in hexadecimal.
    key: str = field(repr=False)
    controller_pid: int
    #: The process whose end stops the cluster, None for a detached cluster.
    owner_pid: int | None
    #: The name of the IPython profile of the cluster.
    profile: str = DEFAULT_PROFILE
    #: The machine of the controller.
    host: str = field(default_factory=socket.gethostname)
    #: Where the controller listens for other machines, ``tcp://...``, and the key by which it is known to be itself.
    url: str | None = None
    curve_serverkey: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether the controller runs on this machine."""
        return self.host == socket.gethostname()

    @property
    def endpoint(self) -> str:
        """Where it can be reached from here."""
        return self.address if self.is_here or self.url is None else self.url

    @property
    def path(self) -> Path:
        return Path(self.directory) / FILE_NAME

    @property
    def restorable(self) -> bool:
        """Whether its engines wait for a new controller when this one is gone."""
        return self.is_here and (Path(self.directory) / SETTINGS).exists()

    @property
    def restoring(self) -> str:
        """The command that starts a new controller for the engines of this one."""
        named = f" --cluster-id {self.cluster_id}" if self.cluster_id != DEFAULT_ID else ""
        return f"pxcluster start --restore{named}" + (f" --profile {self.profile}" if self.profile != DEFAULT_PROFILE else "")

    def write(self) -> None:
        text = json.dumps(asdict(self), indent=1)
        temporary = self.path.with_suffix(".new")
        write_private(temporary, text)
        temporary.rename(self.path)

    def is_current(self) -> bool:
        """Whether it is on disk, and not that of a later cluster with the same names."""
        try:
            return read(self.path).key == self.key
        except (ClusterError, FileNotFoundError):
            return False

    def alive(self) -> bool:
        """Whether the controller listens, and not a later one in its place."""
        if self.is_here and not self.is_current():
            return False
        scheme, _, place = self.endpoint.partition("://")
        host, _, port = place.rpartition(":")
        # A Unix socket answers at once.
        family, target = (socket.AF_UNIX, place) if scheme == "ipc" else (socket.AF_INET, (host, int(port)))
        with socket.socket(family) as probe:
            probe.settimeout(PROBE_TIMEOUT)
            try:
                probe.connect(target)
            except OSError:
                return False
        return True

    def remove(self) -> None:
        """Remove everything that the cluster has on disk; what a later one with the same names has is left alone."""
        if self.is_current():
            remove_directories(self.directory, self.sockets)


Check = Callable[[ClusterFile], None]
#: What no cluster file goes without.
_NEEDED = {f.name for f in fields(ClusterFile) if f.default is MISSING and f.default_factory is MISSING}


def remove_directories(directory: str, sockets: str) -> None:
    """Remove what ``prepare`` has made, and everything in it."""
    shutil.rmtree(sockets, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def private(path: str, flags: int) -> int:
    """The ``opener`` of files that only the user can read."""
    return os.open(path, flags, 0o600)


def write_private(path: Path, text: str) -> None:
    """Write a file that only the user can read."""
    with open(path, "w", opener=private) as file:
        file.write(text)


def runtime_directory() -> Path:
    """The folder of the folders of all clusters of this user."""
    return Path(jupyter_runtime_dir()) / "pxkernel"


#: 32 bytes as ZeroMQ writes them.
_CURVE_KEY = r"[0-9a-zA-Z.:+=^!/*?&<>()\[\]{}@%$#-]{40}"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"


def folder(cluster_id: str, profile: str = DEFAULT_PROFILE) -> Path:
    """The directory of the cluster ``cluster_id``.

    Raises
    ------
    ClusterError
        The id or the profile has characters that a folder name should not have, or is the default cluster's folder name.
    TypeError
        It is no string.
    """
    for name, value in (("cluster_id", cluster_id), ("profile", profile)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, not {value!r}")
    if cluster_id != DEFAULT_ID and (not re.fullmatch(_NAME, cluster_id) or cluster_id == _DEFAULT_FOLDER):
        raise ClusterError(
            f"{cluster_id!r} cannot be a cluster id: use up to 64 letters, digits, '-', '_' or '.', and not "
            f"{_DEFAULT_FOLDER!r}"
        )
    if not re.fullmatch(_NAME, profile):
        raise ClusterError(f"{profile!r} cannot be a profile: use up to 64 letters, digits, '-', '_' or '.'")
    name = cluster_id or _DEFAULT_FOLDER
    return runtime_directory() / (name if profile == DEFAULT_PROFILE else f"{profile}@{name}")


def keys_of(cluster_id: str, profile: str = DEFAULT_PROFILE) -> Path:
    """Where the keys of a cluster stay when it has ended, if its user wants that; raises as ``folder``."""
    directory = folder(cluster_id, profile)
    return directory.with_name(f".{directory.name}.keys")


def prepare(cluster_id: str, profile: str = DEFAULT_PROFILE, check: Check = lambda file: None) -> tuple[Path, Path]:
    """Make the directory of a new cluster and the directory of its sockets.

    ``check`` is called before that of an earlier cluster of this id, whose controller has ended, is removed, and may raise.

    Raises
    ------
    ClusterError
        A cluster of this id is running or being started, or the directory cannot be made.
    """
    directory = folder(cluster_id, profile)
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=".", dir=directory.parent))
        try:
            write_private(new / _STARTER, str(os.getpid()))
            _take_place(new, directory, cluster_id, check)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise ClusterError(f"the directory of the cluster cannot be made: {error}") from None
    if len(os.fsencode(directory)) <= _LONGEST_SOCKET_DIRECTORY:
        return directory, directory
    for place in (tempfile.gettempdir(), "/tmp"):
        if len(os.fsencode(place)) <= _LONGEST_SOCKET_DIRECTORY - 16:
            return directory, Path(tempfile.mkdtemp(prefix="px-", dir=place))
    raise ClusterError(f"no directory with a path short enough for Unix sockets: {directory}, {tempfile.gettempdir()}")


def _take_place(new: Path, directory: Path, cluster_id: str, check: Check) -> None:
    """Rename ``new``, which has its starter's name in it already, so that of two starts at once only one succeeds."""
    while True:
        try:
            new.rename(directory)
            return
        except OSError:
            if not directory.exists():
                raise
        _remove_if_dead(directory, cluster_id, check)


def _remove_if_dead(directory: Path, cluster_id: str, check: Check = lambda file: None) -> None:
    try:
        old = read(directory / FILE_NAME)
    except (ClusterError, FileNotFoundError):
        with contextlib.suppress(OSError, ValueError):
            if exists(int((directory / _STARTER).read_text())):
                raise ClusterError(f"a cluster with the id {cluster_id!r} is being started") from None
        shutil.rmtree(directory)
        return
    if old.alive():
        raise ClusterError(f"a cluster with the id {cluster_id!r} is running already: {old.path}")
    check(old)
    if old.directory == str(directory):
        shutil.rmtree(old.sockets, ignore_errors=True)
    if directory.exists():
        shutil.rmtree(directory)


def read(path: str | os.PathLike[str]) -> ClusterFile:
    """Read a cluster file.

    Raises
    ------
    FileNotFoundError
        There is none.
    ClusterError
        It is not a cluster file.
    """
    try:
        text = Path(path).read_text()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no cluster file {path}: is the cluster running?") from None
    except OSError as error:
        raise ClusterError(f"the cluster file {path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise ClusterError(f"{path} is not a cluster file: it is not text") from None
    try:
        info = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"{path} is not a cluster file: {error}") from None
    return parse(info, path)


def parse(info: object, origin: object) -> ClusterFile:
    """The cluster file with the content ``info``; ``origin`` says in errors where that is from.

    Raises
    ------
    ClusterError
        It is not the content of a cluster file.
    """
    try:
        if not isinstance(info, Mapping):
            raise TypeError("it is no mapping")
        if lacking := _NEEDED - info.keys():
            raise TypeError(f"it has no {', '.join(sorted(lacking))}")
        if unknown := sorted(map(str, info.keys() - ClusterFile.__dataclass_fields__.keys())):
            raise TypeError(f"it has {', '.join(unknown)}, which says nothing here")
        file = ClusterFile(**info)
        bytes.fromhex(file.key)
        if not all(isinstance(value, str) for value in (file.cluster_id, file.directory, file.sockets, file.address)):
            raise TypeError("a name or a path is no string")
        if not isinstance(file.controller_pid, int):
            raise TypeError("controller_pid is no number")
        if file.url is not None and not re.fullmatch(r"tcp://[^:/]+:\d+", file.url):
            raise TypeError(f"{file.url!r} is no url")
        if (file.url is None) != (file.curve_serverkey is None):
            raise TypeError("url and curve_serverkey belong together")
        if file.curve_serverkey is not None and not re.fullmatch(_CURVE_KEY, file.curve_serverkey):
            raise TypeError("curve_serverkey is no key")
    except (ValueError, TypeError) as error:
        raise ClusterError(f"{origin} is not a cluster file: {error}") from None
    return file


def running(profile: str | None = None) -> list[ClusterFile]:
    """The clusters of this user whose controller answers; of one profile, None: of all."""
    return [file for file in _files(profile) if file.alive()]


def _files(profile: str | None) -> Iterator[ClusterFile]:
    """The cluster files of this user, of one profile or all, whether their controllers answer or not."""
    for path in sorted(runtime_directory().glob(f"*/{FILE_NAME}")):
        with contextlib.suppress(ClusterError, FileNotFoundError):
            file = read(path)
            if profile in (None, file.profile):
                yield file


def clean(spared: Collection[str] = ()) -> list[str]:
    """Remove what dead clusters have left behind, but for the folders ``spared``: the names of those removed.

    Engines that are left over end then.
    """
    removed = []
    for directory in sorted(runtime_directory().glob("[!.]*")):
        if str(directory) in spared:
            continue
        with contextlib.suppress(ClusterError, FileNotFoundError):
            _remove_if_dead(directory, directory.name)
            removed.append(directory.name)
    return removed


def find(cluster: str | os.PathLike[str] | None = None, *, profile: str | None = None) -> ClusterFile:
    """The cluster file that ``cluster`` (an id or a path) means.

    Without an argument: the one that the environment variable ``PXKERNEL_CLUSTER`` names, else the default cluster,
    else the only running one.

    Parameters
    ----------
    profile
        Look among the clusters of this profile; None: an id means one of the default profile, no id one of any.

    Raises
    ------
    FileNotFoundError
        There is no such cluster, or none at all.
    ClusterError
        The file is no cluster file, its cluster has ended, or several clusters run and none is named.
    TypeError
        ``cluster`` is neither an id nor a path.
    """
    if cluster is not None and not isinstance(cluster, str | os.PathLike):
        raise TypeError(f"a cluster is named by its id or by the path of its file, not by {cluster!r}")
    if profile is not None:
        folder(DEFAULT_ID, profile)
    text = wanted(cluster, profile)
    if text is None:
        return _only_running(profile)
    file = read(path_of(text, profile))
    check_alive(file, f"of {text}")
    return file


def wanted(cluster: str | os.PathLike[str] | None, profile: str | None) -> str | None:
    """The id or path, the argument or that of ``PXKERNEL_CLUSTER``, by which ``find`` looks; None: nothing is named."""
    if cluster is None and profile is None:
        return os.environ.get(ENVIRONMENT) or None
    return None if cluster is None else os.fspath(cluster)


def path_of(text: str, profile: str | None) -> Path:
    """The cluster file that an id of a profile, or a path, means."""
    is_path = os.sep in text or text.endswith(".json")
    return Path(text) if is_path else folder(text, profile or DEFAULT_PROFILE) / FILE_NAME


def check_alive(file: ClusterFile, which: str) -> None:
    """Raises ClusterError, with the reason, unless the controller listens; ``which`` names the cluster."""
    if file.alive():
        return
    if file.is_here:
        how = f"; {file.restoring} takes its engines over" if file.restorable else ""
        raise ClusterError(f"the cluster {which} is not running any more (its controller was {file.controller_pid}){how}")
    if file.url is None:
        raise ClusterError(
            f"the cluster {which} runs on {file.host} and listens there only: start it with controller_ip=, or "
            "pxcluster start --ip"
        )
    raise ClusterError(f"the cluster {which} on {file.host} cannot be reached at {file.url}")


def _only_running(profile: str | None) -> ClusterFile:
    clusters = running(profile)
    for file in clusters:
        if file.cluster_id == DEFAULT_ID and file.profile == (profile or DEFAULT_PROFILE):
            return file
    if len(clusters) == 1:
        return clusters[0]
    if not clusters:
        left = " or ".join(f"`{file.restoring}`" for file in _files(profile) if file.restorable)
        how = f"; {left} takes over engines that wait for a new controller" if left else ""
        which = "no cluster" if profile is None else f"no cluster of the profile {profile!r}"
        raise FileNotFoundError(
            f"{which} is running (looked in {runtime_directory()}): start one with Cluster(n=4) or `pxcluster start -n 4`{how}"
        )
    names = ", ".join(repr(file.cluster_id) for file in clusters)
    raise ClusterError(f"several clusters are running, name one of them: {names}")
