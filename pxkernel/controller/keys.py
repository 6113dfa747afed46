"""The secrets of a cluster and its port: new ones, or those of the last time, so that copies of its file stay valid."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import zmq

from ..errors import ClusterError
from ..protocol.clusterfile import write_private


@dataclass(frozen=True, slots=True)
class Keys:
    """What clients on other machines know a controller by, and what they do not know (features SEC-01, CTL-08)."""

    #: Signs every message, in hexadecimal.
    signing: str
    #: The two halves of the controller's CURVE key.
    public: str
    secret: str
    #: Where it listens for other machines, 0: not known yet.
    port: int = 0

    @classmethod
    def of(cls, place: str | None) -> Keys:
        """Those that are kept in a file; new ones if there is none.

        Raises
        ------
        ClusterError
            The file has something else in it.
        """
        if place is not None and Path(place).exists():
            try:
                return cls(**json.loads(Path(place).read_text()))
            except (ValueError, TypeError) as error:
                raise ClusterError(f"{place} does not have the keys of a cluster ({error}): remove it") from None
        public, secret = zmq.curve_keypair()
        return cls(secrets.token_bytes(32).hex(), public.decode(), secret.decode())

    def keep(self, place: str, port: int) -> None:
        """Write them and the port to a file that only the user can read."""
        write_private(Path(place), json.dumps(asdict(replace(self, port=port))))
