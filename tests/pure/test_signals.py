"""Signals by number and by name (features CLU-16, CTL-01)."""

import signal

import pytest

from pxkernel.client.signals import number_of


@pytest.mark.parametrize("sig, number", [(2, 2), ("SIGINT", 2), (signal.SIGUSR1, signal.SIGUSR1), (0, 0), ("SIGUSR1", 10)])
def test_signals(sig, number):
    assert number_of(sig) == number and type(number_of(sig)) is int


@pytest.mark.parametrize(
    "sig, error",
    [("USR1", AttributeError), ("SIG_DFL", AttributeError), (999, ValueError), (-1, ValueError), (True, TypeError),
     (None, TypeError), (2.0, TypeError), ([2], TypeError)],
)  # fmt: skip
def test_what_is_no_signal(sig, error):
    """CTL-01: ``send_signal(True)`` is not SIGHUP."""
    with pytest.raises(error, match="signal"):
        number_of(sig)
