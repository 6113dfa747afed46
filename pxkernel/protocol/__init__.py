"""What travels between client, controller and engine.

::

    objects ── pack ──▶ payload frames ──┐
                                         ├── wire ──▶ signed frames
    decisions ── messages ──▶ header ────┘

- ``pack`` turns Python objects into frames and back; only clients and engines use it.
- ``arrays``, ``arrow`` and ``reducers`` know types that the standard picklers copy, weaken or refuse.
- ``standins`` stand for something else until they arrive; ``serialize`` is packing for programs that do it themselves.
- ``messages`` are the named tuples that the three parties exchange; ``times`` are those in the records of results.
- ``wire`` signs a message into frames and verifies what arrives.
- ``stream`` carries them between processes of one machine, ``sockets`` through zmq between machines.
- ``forks`` keeps forked processes out of all of that.
- ``mailbox`` is the short way of a result, from an engine to a client on its machine.
- ``segments`` are memory that processes of one host share; ``sharing`` puts the large buffers of payloads there.
- ``copying`` divides large copies among threads.
- ``credit`` bounds what may be on the way to one peer.
- ``partition`` splits sequences over engines and joins them again.
- ``clusterfile`` is how a process finds a running cluster.
"""
