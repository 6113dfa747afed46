"""The controller: one process between the clients and the engines.

::

    clients ◀──┐   ┌────────────────────── main thread ─────────────────────────┐
               ├──▶│ front streams ─ events ─▶ core ─ commands ─▶ front, shell   │
    engines ◀──┘   │ kernel channels (shell, control, stdin)      ▲              │
                   └──────────────▲───────────────────────────────┼──────────────┘
         iopub thread ── PULL ────┘         launcher thread ─── queue
         reads every iopub, nothing else      asyncio, jupyter_client's managers

- ``server``    the controller: messages to events, commands to messages; ``loop`` what its main thread waits for
- ``front``     where clients and engines dial in, and who is behind each connection
- ``roster``    the engines (``enginerecord``), from their start to their end
- ``relay``     results and output on their way to the clients
- ``book``      payloads, results and output of every task (``entries``), open and delivered (``store``, ``sqlite``)
- ``questions`` the table of what clients can ask; ``hub`` answers what is about tasks, in the language of ``query``
- ``kernelmessages`` what kernels say on their own channels
- ``order``     questions that come before what their clients have seen
- ``prompts``   what running code asks its user; ``comms`` widgets; ``requests`` what a kernel answers by itself
- ``lifecycle`` what clients ask about engines: start, stop, restart, signal
- ``inspection`` what engines are doing, seen from outside
- ``launcher``  starts, watches, interrupts and ends kernels
- ``remote``    clients on other machines
- ``restore``   what a controller leaves to the next one, and what it finds
- ``keys``      its secrets and its port, for the next time as well
- ``watch``     the ends of other processes
- ``settings``  what the process is told when it is started; ``process`` what it does with it
"""
