"""Signals by number or by name, for the calls that send one to engines (features CLU-16, CTL-01)."""

from __future__ import annotations

import signal


def number_of(sig: int | str) -> int:
    """The number of a signal, 0 for 0.

    Raises
    ------
    AttributeError, ValueError
        There is no signal with this name, with this number.
    TypeError
        It is neither.
    """
    if isinstance(sig, str):
        if not sig.startswith("SIG") or not isinstance(getattr(signal, sig, None), signal.Signals):
            raise AttributeError(f"there is no signal {sig!r}")
        return int(getattr(signal, sig))
    if isinstance(sig, bool) or not isinstance(sig, int):
        raise TypeError(f"a signal is a number or a name such as 'SIGUSR1', not {sig!r}")
    if sig and sig not in signal.valid_signals():
        raise ValueError(f"there is no signal {sig!r}")
    return int(sig)
