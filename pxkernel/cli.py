"""``pxcluster``: clusters from a terminal (features CLI).

    pxcluster start -n 4 [--daemonize]   start one, and keep it until Ctrl-C (or leave it running)
    pxcluster engines -n 2               add engines to one that is running
    pxcluster list [-o json]             what is running
    pxcluster stop [ID ...] [--all]      end it
    pxcluster clean [--force]            remove what dead clusters have left behind

``pxcluster start --restore`` starts a cluster whose engines wait when their controller is killed or crashes, and, said again,
takes them over with all that they hold (features CTL-08); ``stop`` and ``clean --force`` end engines that wait.

Exit codes: 0 done, 1 it failed, 2 usage, 10 such a cluster is running already, 11 there is no such cluster,
130 interrupted while it took engines over, which wait again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from . import __version__
from .cluster import Cluster, clean_cluster_files
from .cluster.restore import put_back, waiting_as
from .controller.settings import RESTORE_TIMEOUT, SCHEMES, STORE_LIMIT
from .errors import ClusterError, EngineError
from .protocol import clusterfile
from .protocol.enginefiles import waiting_clusters, waiting_ids

USAGE = 2
RUNNING_ALREADY = 10
NOT_RUNNING = 11
INTERRUPTED = 130
#: What a start obeys when it takes engines over, too.
USED = {"command", "run", "profile", "output", "cluster_id", "restore", "daemonize"}
#: Signals that ``pxcluster start`` passes on to the engines.
PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("pxcluster", description="Start, list and stop clusters of Jupyter kernels.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--profile", default=None, help="the IPython profile of the cluster (default: default)")
    printing = argparse.ArgumentParser(add_help=False)
    printing.add_argument("-o", "--output", choices=["text", "json"], default="text", help="how to print (default: text)")

    start = commands.add_parser("start", parents=[named, printing], help="start a cluster")
    start.add_argument("-n", type=int, default=None, help="how many engines (default: one for each core)")
    start.add_argument("--cluster-id", default=clusterfile.DEFAULT_ID, help="its name (default: the default cluster)")
    start.add_argument("--kernel", default=None, help="the kernelspec of the engines (default: this Python)")
    start.add_argument("--engines", default=None, help="how engines are started: forkserver, local, or a provisioner")
    start.add_argument("--transport", default="ipc", help="how kernels are reached: ipc, or tcp if they know nothing else")
    start.add_argument("-c", "--on-start", default=None, metavar="CODE", help="what each engine runs before it is ready")
    start.add_argument("--preload", default=[], nargs="+", metavar="MODULE", help="modules that the engines share")
    start.add_argument("--scheme", default="leastload", help=f"which engine gets a balanced call: {', '.join(SCHEMES)}")
    start.add_argument("--store", default="memory", help="where results stay: memory, sqlite, sqlite:FILE or none")
    start.add_argument("--store-limit", type=int, default=STORE_LIMIT, metavar="BYTES", help="over it the oldest go")
    start.add_argument("--ip", default=None, help="listen for clients on other machines at this address, * for all; encrypted")
    start.add_argument("--port", type=int, default=0, help="... on this port (default: any that is free)")
    start.add_argument("--location", default=None, help="... and this is the name by which they find this machine")
    start.add_argument("--reuse", action="store_true", help="... with the keys and the port of the last time")
    start.add_argument(
        "--restore", action="store_true",
        help="have the engines wait for a new controller when this one is killed or crashes, and take over those that wait",
    )  # fmt: skip
    start.add_argument(
        "--restore-timeout", type=float, default=RESTORE_TIMEOUT, metavar="SECONDS",
        help="... for so long (default: %(default)g)",
    )  # fmt: skip
    start.add_argument("--daemonize", action="store_true", help="leave it running and return")
    start.set_defaults(run=_start)

    engines = commands.add_parser("engines", parents=[named, printing], help="add engines to a running cluster")
    engines.add_argument("-n", type=int, default=1, help="how many (default: 1)")
    engines.add_argument("--cluster-id", default=None, help="which cluster (default: the default one, or the only one)")
    engines.add_argument("--set", default=None, help="the name of their engine set (default: a new one)")
    engines.set_defaults(run=_engines)

    listing = commands.add_parser("list", parents=[named, printing], help="list the clusters that are running")
    listing.set_defaults(run=_list)

    stop = commands.add_parser("stop", parents=[named], help="stop clusters")
    stop.add_argument("ids", nargs="*", metavar="ID", help="which (default: the default cluster, or the only one)")
    stop.add_argument("--cluster-id", action="append", dest="ids_too", default=[], metavar="ID", help="the same")
    stop.add_argument("--all", action="store_true", help="every cluster of this user, or of the profile")
    stop.set_defaults(run=_stop)

    clean = commands.add_parser("clean", help="remove the files of dead clusters")
    clean.add_argument("--force", action="store_true", help="stop the clusters that run as well")
    clean.set_defaults(run=_clean)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)  # type: ignore[no-any-return]
    except (ClusterError, EngineError, TimeoutError, ValueError) as error:
        print(f"pxcluster: {error}", file=sys.stderr)
        return 1
    except FileNotFoundError as error:
        print(f"pxcluster: {error}", file=sys.stderr)
        return NOT_RUNNING


def _start(options: argparse.Namespace) -> int:
    profile = clusterfile.DEFAULT_PROFILE if options.profile is None else options.profile
    _check_profile(profile)
    for file in clusterfile.running(profile):
        if file.cluster_id == options.cluster_id:
            print(f"pxcluster: the cluster {options.cluster_id!r} is running already: {file.path}", file=sys.stderr)
            return RUNNING_ALREADY
    cluster = Cluster(
        n=options.n,
        cluster_id=options.cluster_id,
        profile=profile,
        kernel_name=options.kernel,
        engines=options.engines,
        transport=options.transport,
        on_start=options.on_start,
        preload=options.preload,
        scheme=options.scheme,
        store=options.store,
        store_limit=options.store_limit,
        controller_ip=options.ip,
        controller_location=options.location,
        controller_port=options.port,
        controller_reuse=options.reuse,
        controller_restore=options.restore,
        restore_timeout=options.restore_timeout,
        shutdown_atexit=not options.daemonize,
    )
    if not options.daemonize:
        return _keep(cluster, options)
    _begin(cluster, options)
    return 0


def _begin(cluster: Cluster, options: argparse.Namespace) -> None:
    """Start a cluster and print what it is."""
    if cluster.controller_restore and (file := waiting_as(cluster.cluster_id, cluster.profile)):
        unused = ", ".join(_settings_in(options))
        how = f" with the settings of the first start, without {unused}" if unused else ""
        print(f"taking over engines {waiting_ids(file)}{how}", file=sys.stderr, flush=True)
    cluster.start_and_connect_sync().close()
    row = _row(cluster)
    if options.output == "json":
        print(json.dumps({**row, **_restored(cluster)}, indent=1), flush=True)
    else:
        number = len(row["engines"])
        print(f"{number} {'engine is' if number == 1 else 'engines are'} running; {cluster.cluster_file}", flush=True)
        for state, engines in _restored(cluster).items():
            print(f"{state}: engines {engines}", flush=True)
        print(f"connect to them with: pxkernel.{_client_of(cluster)}", flush=True)


def _settings_in(options: argparse.Namespace) -> list[str]:
    """What the command line of a start says of the cluster, which is that of the first start if engines are taken over."""
    defaults = vars(_parser().parse_args(["start"]))
    given = [name for name, default in defaults.items() if getattr(options, name) != default and name not in USED]
    return ["-n" if name == "n" else "--" + name.replace("_", "-") for name in given]


def _restored(cluster: Cluster) -> dict[str, list[int]]:
    """What has become of the engines of an earlier controller, if there was one."""
    if not cluster.restored:
        return {}
    engines = [engine for engine_set in cluster.engines.values() for engine in engine_set.engines]
    names = {"running": "restored", "starting": "late", "dead": "ended"}
    found = {name: [engine["id"] for engine in engines if engine["state"] == state] for state, name in names.items()}
    return {name: ids for name, ids in found.items() if ids}


def _client_of(cluster: Cluster) -> str:
    """The call by which a notebook finds it."""
    if cluster.profile != clusterfile.DEFAULT_PROFILE:
        return f"Client(profile={cluster.profile!r}, cluster_id={cluster.cluster_id!r})"
    return f"Client({cluster.cluster_id!r})" if cluster.cluster_id else "Client()"


def _keep(cluster: Cluster, options: argparse.Namespace) -> int:
    """Start a cluster, wait until it ends by itself, and end it when we are told to, which may be at any moment.

    Engines that were to be rescued are not ended before we have said that we would. The signals that tell us raise nothing, so
    that none of them cuts a start or an end into halves.
    """
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    failures: list[Exception] = []
    signalled: list[int] = []
    begun = threading.Event()
    ended = threading.Event()

    def live() -> None:
        try:
            _begin(cluster, options)
            if options.output == "text":
                print("Ctrl-C stops them", flush=True)
            begun.set()
            cluster.wait_sync()
            if engines := cluster.waiting:
                cluster.shutdown_atexit = False
                restoring = clusterfile.read(cluster.cluster_file or "").restoring
                text = f"the controller has ended, and engines {engines} wait for a new one"
                raise ClusterError(f"{text}: {restoring} takes them over, pxcluster stop ends them")
        except Exception as error:
            failures.append(error)
        ended.set()
        os.write(tell, b"\0")

    def pass_on(signum: int, _: Any) -> None:
        # It may come before there are engines, or after them.
        with contextlib.suppress(ClusterError, EngineError):
            cluster.signal_engines_sync(signum)

    # A signal may be taken by another thread, and the main thread, which alone calls the handlers, sleeps on.
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda signum, _: signalled.append(signum))
    for number in PASSED_ON:
        signal.signal(number, pass_on)
    threading.Thread(target=live, daemon=True).start()
    while not (signalled or ended.is_set()):
        os.read(told, 1)
    if signalled:
        return _stop_or_put_back(cluster, begun.is_set(), options.output)
    if not begun.is_set():
        put_back(cluster)
    if not cluster.waiting:
        cluster.stop_cluster_sync()
    if failures:
        raise failures[0]
    return 0


def _stop_or_put_back(cluster: Cluster, begun: bool, output: str) -> int:
    """End a cluster, but have engines that were just being taken over wait again; returns the exit code."""
    if not begun and (file := put_back(cluster)):
        text = f"interrupted: engines {waiting_ids(file)} wait for a new controller"
        print(f"pxcluster: {text}: {file.restoring} takes them over, pxcluster stop ends them", file=sys.stderr)
        return INTERRUPTED
    if output == "text":
        print("stopping", flush=True)
    cluster.stop_cluster_sync()
    return 0


def _engines(options: argparse.Namespace) -> int:
    cluster = Cluster.from_file(profile=options.profile, cluster_id=options.cluster_id)
    before = set(_row(cluster)["engines"])
    name = cluster.start_engines_sync(options.n, options.set)
    with cluster.connect_client_sync() as client:
        client.wait_for_engines(timeout=cluster.engine_timeout)
        added = sorted(set(client.ids) - before)
    if options.output == "json":
        print(json.dumps({"engine_set": name, "engines": added}))
    else:
        print(f"engines {added} have joined the cluster {cluster.cluster_id!r} as the engine set {name!r}")
    return 0


def _waiting_row(file: clusterfile.ClusterFile) -> dict[str, Any]:
    """As ``_row``, for a cluster whose engines wait for a new controller."""
    return {**_identity(file), "engines": [], "engine_sets": {}, "waiting": waiting_ids(file)}


def _row(cluster: Cluster) -> dict[str, Any]:
    """What is printed about one cluster."""
    file = clusterfile.read(cluster.cluster_file or "")
    sets = {name: engine_set.ids for name, engine_set in cluster.engines.items()}
    with cluster.connect_client_sync() as client:
        engines = client.ids
    return {**_identity(file), "engines": engines, "engine_sets": sets}


def _identity(file: clusterfile.ClusterFile) -> dict[str, Any]:
    return {
        "cluster_id": file.cluster_id,
        "profile": file.profile,
        "controller_pid": file.controller_pid,
        "owner_pid": file.owner_pid,
        "url": file.url,
        "cluster_file": str(file.path),
    }


def _list(options: argparse.Namespace) -> int:
    _check_profile(options.profile)
    rows = []
    for file in clusterfile.running(options.profile):
        # It may just have ended.
        with contextlib.suppress(FileNotFoundError, ClusterError, EngineError, TimeoutError):
            rows.append(_row(Cluster.from_file(file.path)))
    rows += [_waiting_row(file) for file in waiting_clusters(options.profile)]
    if options.output == "json":
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{'PROFILE':<16} {'CLUSTER ID':<28} {'ENGINES':>7} {'CONTROLLER':>10}  CLUSTER FILE")
    for row in rows:
        name, engines = repr(row["cluster_id"]), len(row.get("waiting", row["engines"]))
        controller = "ended" if "waiting" in row else row["controller_pid"]
        print(f"{row['profile']:<16} {name:<28} {engines:>7} {controller:>10}  {row['cluster_file']}")
    return 0


def _stop(options: argparse.Namespace) -> int:
    names = list(dict.fromkeys([*options.ids, *options.ids_too]))
    _check_profile(options.profile)
    if options.all and names:
        print("pxcluster: --all stops every cluster: it goes with no ID", file=sys.stderr)
        return USAGE
    if options.all:
        files = [*clusterfile.running(options.profile), *waiting_clusters(options.profile)]
        clusters = [Cluster.from_file(file.path) for file in files]
        if not clusters:
            print("no clusters to stop")
    elif names:
        clusters = [Cluster.from_file(cluster_id=name, profile=options.profile) for name in names]
    else:
        clusters = [Cluster.from_file(profile=options.profile)]
    for cluster in clusters:
        cluster.stop_cluster_sync()
        print(f"stopped {cluster.cluster_id!r}")
    return 0


def _clean(options: argparse.Namespace) -> int:
    running = [*clusterfile.running(), *waiting_clusters()]
    removed = clean_cluster_files(force=options.force)
    for file in running if options.force else ():
        print(f"stopped {file.cluster_id!r}")
    print(f"removed the files of {_clusters(removed, 'dead ')}" + "".join(f"\n  {name}" for name in removed))
    if running and not options.force:
        print(f"{_clusters(running)} left running; --force stops them")
        if waiting := waiting_clusters():
            commands = " or ".join(file.restoring for file in waiting)
            print(f"{len(waiting)} of them without a controller: {commands} takes over the engines")
    return 0


def _check_profile(profile: str | None) -> None:
    """Raises ClusterError if no cluster can have such a profile: else there would just be none of it."""
    if profile is not None:
        clusterfile.folder(clusterfile.DEFAULT_ID, profile)


def _clusters(found: Sequence[object], kind: str = "") -> str:
    return f"{len(found)} {kind}cluster{'' if len(found) == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main())
