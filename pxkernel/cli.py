"""``pxcluster``: clusters from a terminal.

    pxcluster start -n 4 [--daemonize]   start one, and keep it until Ctrl-C (or leave it running)
    pxcluster list [-o json]             what is running
    pxcluster stop [ID ...] [--all]      end it

Exit codes: 0 done, 1 it failed, 2 usage, 10 such a cluster is running already, 11 there is no such cluster.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence

from . import __version__
from .client.client import Client
from .cluster import Cluster
from .errors import ClusterError, EngineError
from .protocol import clusterfile

RUNNING_ALREADY = 10
NOT_RUNNING = 11


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("pxcluster", description="Start, list and stop clusters of Jupyter kernels.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)

    start = commands.add_parser("start", help="start a cluster")
    start.add_argument("-n", type=int, default=None, help="how many engines (default: one for each core)")
    start.add_argument("--cluster-id", default=clusterfile.DEFAULT_ID, help="its name (default: the default cluster)")
    start.add_argument("--kernel", default=None, help="the kernelspec of the engines (default: this Python)")
    start.add_argument("--engines", default=None, help="how engines are started: forkserver, local, or a provisioner")
    start.add_argument("--daemonize", action="store_true", help="leave it running and return")
    start.set_defaults(run=_start)

    listing = commands.add_parser("list", help="list the clusters that are running")
    listing.add_argument("-o", "--output", choices=["text", "json"], default="text")
    listing.set_defaults(run=_list)

    stop = commands.add_parser("stop", help="stop clusters")
    stop.add_argument("ids", nargs="*", metavar="ID", help="which (default: the default cluster, or the only one)")
    stop.add_argument("--all", action="store_true", help="every cluster of this user")
    stop.set_defaults(run=_stop)
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
    for file in clusterfile.running():
        if file.cluster_id == options.cluster_id:
            print(f"pxcluster: the cluster {options.cluster_id!r} is running already: {file.path}", file=sys.stderr)
            return RUNNING_ALREADY
    cluster = Cluster(
        n=options.n,
        cluster_id=options.cluster_id,
        kernel_name=options.kernel,
        engines=options.engines,
        shutdown_atexit=not options.daemonize,
    )
    with cluster.start_and_connect_sync() as client:
        print(f"{len(client)} engines are running; {cluster.cluster_file}", flush=True)
        print("connect to them with: pxkernel.Cluster.from_file().connect_client_sync()", flush=True)
    if options.daemonize:
        return 0
    print("Ctrl-C stops them", flush=True)
    try:
        # SIGTERM ends this process as Ctrl-C does: through the finally.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        cluster.wait_sync()
    except KeyboardInterrupt:
        print("stopping", flush=True)
    finally:
        cluster.stop_cluster_sync()
    return 0


def _list(options: argparse.Namespace) -> int:
    rows = []
    for file in clusterfile.running():
        try:
            with Client(file.path) as client:
                engines = client.ids
        except (FileNotFoundError, ClusterError, TimeoutError):
            continue  # it has just ended
        row = {"cluster_id": file.cluster_id, "engines": engines, "controller_pid": file.controller_pid}
        rows.append({**row, "owner_pid": file.owner_pid, "cluster_file": str(file.path)})
    if options.output == "json":
        print(json.dumps(rows, indent=1))
        return 0
    print(f"{'CLUSTER ID':<28} {'ENGINES':>7} {'CONTROLLER':>10}  CLUSTER FILE")
    for row in rows:
        print(f"{row['cluster_id']!r:<28} {len(row['engines']):>7} {row['controller_pid']:>10}  {row['cluster_file']}")
    return 0


def _stop(options: argparse.Namespace) -> int:
    if options.all:
        files = clusterfile.running()
        if not files:
            print("no clusters to stop")
    elif options.ids:
        files = [clusterfile.find(str(clusterfile.folder(name) / clusterfile.FILE_NAME)) for name in options.ids]
    else:
        files = [clusterfile.find()]
    for file in files:
        Cluster.from_file(file.path).stop_cluster_sync()
        print(f"stopped {file.cluster_id!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
