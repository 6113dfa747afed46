"""What the fork server changes in its children; the rest needs processes (tests/kernels/test_forkserver.py)."""

import os

import pytest

from pxkernel.kernels import _forkserver_main


class Environment(dict):
    """Notes what is set and removed."""

    def __init__(self, *args):
        super().__init__(*args)
        self.changed = []

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        self.changed.append(name)

    def __delitem__(self, name):
        super().__delitem__(name)
        self.changed.append(name)


@pytest.mark.parametrize(
    ("wanted", "changed"),
    [
        ({"A": "1", "B": "2"}, set()),
        ({"A": "1"}, {"B"}),
        ({"A": "1", "B": "3", "C": ""}, {"B", "C"}),
        ({}, {"A", "B"}),
    ],
)
def test_only_what_differs_in_the_environment_is_set(monkeypatch, wanted, changed):
    environment = Environment({"A": "1", "B": "2"})
    monkeypatch.setattr(os, "environ", environment)
    _forkserver_main.set_environment(wanted)
    assert environment == wanted
    assert set(environment.changed) == changed
