"""The controller: one process between the clients and the engines.

::

    clients ◀──┐   ┌────────────────────── main thread ─────────────────────────┐
               ├──▶│ front ROUTER ─ events ─▶ core ─ commands ─▶ front, shell    │
    engines ◀──┘   │ kernel channels (shell, control, stdin)      ▲              │
                   └──────────────▲───────────────────────────────┼──────────────┘
         iopub thread ── PULL ────┘           launcher thread ─── PULL
         reads every iopub, nothing else      asyncio, jupyter_client's managers

- ``server``    the loop of the main thread: bytes to events, commands to bytes
- ``relay``     results and output on their way to the clients
- ``launcher``  starts, watches, interrupts and ends kernels
- ``settings``  what the command line of the process says
"""
