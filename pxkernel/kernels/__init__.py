"""Real kernels: how they are started, and how one process talks to many of them.

- ``provisioner``, ``forkserver``  jupyter_client starts every engine; on Linux by forking a process that has imported
  everything already
- ``reattached`` kernels that another process has started
- ``spec``      which kernel an engine is: its kernelspec, its arguments, its environment
- ``channels``  four sockets for all kernels
"""
