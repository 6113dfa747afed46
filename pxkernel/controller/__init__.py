"""The controller: one process between the clients and the engines.

::

    clients ◀──┐   ┌────────────────────── main thread ─────────────────────────┐
               ├──▶│ front ROUTER ─ events ─▶ core ─ commands ─▶ front, shell    │
    engines ◀──┘   │ kernel channels (shell, control, stdin)      ▲              │
                   └──────────────▲───────────────────────────────┼──────────────┘
         iopub thread ── PULL ────┘         launcher thread ─── queue
         reads every iopub, nothing else      asyncio, jupyter_client's managers

- ``server``    the loop of the main thread: messages to events, commands to messages
- ``front``     the one socket that clients and engines dial
- ``roster``    the engines, from their start to their end
- ``relay``     results and output on their way to the clients
- ``launcher``  starts, watches, interrupts and ends kernels
- ``settings``  what the command line of the process says
"""
