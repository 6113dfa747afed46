"""Segments: anonymous memory that is written once and then mapped by any process of the same user on the same host.

A segment is a memfd. Nothing has a name: it is gone when its last descriptor is closed and its last mapping has ended,
however the processes end that had them. It is sealed before anybody else hears of it, because a private mapping shows
what is written to the file later: what is not sealed is not private. Others open it as ``/proc/<pid>/fd/<descriptor>``.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import sys
import weakref
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ProtocolError

if TYPE_CHECKING:
    from threading import Event

#: What ``/proc/<pid>/fd`` shows.
NAME = "pxkernel"
#: Written in pieces of so many bytes, so that an interrupt need not wait for gigabytes.
PIECE = 64 * 1024 * 1024
#: Segments hold at most this fraction of the descriptors that a process may have: the others are the user's.
SHARE_OF_DESCRIPTORS = 4
_FAILED = ctypes.c_void_p(-1).value
#: Python's mmap does not name these two: no access, and in the place of what is mapped there.
_PROT_NONE = 0
_MAP_FIXED = 0x10


class Address(NamedTuple):
    """Where to open a segment, and how to know that it is still this one."""

    pid: int
    descriptor: int
    device: int
    inode: int
    size: int


#: The descriptors of all segments of this process.
_held: set[int] = set()


def room() -> bool:
    """Whether this process should hold another segment."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft == resource.RLIM_INFINITY or len(_held) < soft // SHARE_OF_DESCRIPTORS


class Segment:
    """One segment, open in this process for as long as this object lives.

    ``Segment.create`` and ``Segment.open`` make them.

    Attributes
    ----------
    address
        Where other processes open it.
    """

    __slots__ = ("address",)

    def __init__(self, address: Address):
        self.address = address

    @classmethod
    def create(cls, places: Sequence[tuple[int, Any]], stopped: Event | None = None) -> Segment:
        """A new segment with these buffers: (offset in bytes, buffer).

        Raises
        ------
        OSError
            The memory or the descriptors are short, or ``stopped`` was set meanwhile.
        """
        descriptor = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            for offset, buffer in places:
                _write(descriptor, memoryview(buffer), offset, stopped)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
            return cls._hold(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def open(cls, address: Address) -> Segment:
        """The segment at ``address``, opened in this process as well.

        Raises
        ------
        ProtocolError
            There is none (any more), or it is another user's or not sealed.
        OSError
            The descriptors are short.
        """
        try:
            # Whatever has this number by now must not make us wait.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            descriptor = os.open(f"/proc/{address.pid}/fd/{address.descriptor}", flags)
        except (FileNotFoundError, PermissionError, ProcessLookupError) as error:
            raise ProtocolError(f"shared memory of process {address.pid} is gone: {error.strerror}") from None
        try:
            _check(descriptor, address)
            return cls._hold(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    @classmethod
    def _hold(cls, descriptor: int) -> Segment:
        found = os.fstat(descriptor)
        segment = cls(Address(os.getpid(), descriptor, found.st_dev, found.st_ino, found.st_size))
        _held.add(descriptor)
        return segment

    def __del__(self, held: set[int] = _held, close: Any = os.close) -> None:
        # In a forked process this closes the descriptor that was inherited.
        held.discard(self.address.descriptor)
        close(self.address.descriptor)


def joined(segments: Sequence[Segment]) -> memoryview:
    """The bytes of segments, one behind the other, writable and private: what is written here is seen by nobody else.

    All but the last one are whole pages. The memory lives as long as something refers to it, and needs no descriptor.
    """
    try:
        return _map(segments)
    except OSError:
        # A process may have so many mappings and no more.
        return _read(segments)


def available() -> bool:
    """Whether this system has sealed anonymous memory at all."""
    return sys.platform == "linux" and hasattr(os, "memfd_create")


def _seals() -> int:
    return fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def _write(descriptor: int, view: memoryview, offset: int, stopped: Event | None) -> None:
    while view:
        if stopped is not None and stopped.is_set():
            raise InterruptedError("nobody waits for it any more")
        written = os.pwrite(descriptor, view[:PIECE], offset)
        view, offset = view[written:], offset + written


def _check(descriptor: int, address: Address) -> None:
    found = os.fstat(descriptor)
    if (found.st_dev, found.st_ino, found.st_size) != (address.device, address.inode, address.size):
        raise ProtocolError(f"shared memory of process {address.pid} is gone: its descriptor is another file's")
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    if found.st_uid != os.geteuid() or seals & _seals() != _seals():
        raise ProtocolError(f"shared memory of process {address.pid} is not a sealed segment of this user")


# ---- mapping


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc


def _map(segments: Sequence[Segment]) -> memoryview:
    # Python's own mmap keeps a descriptor for each mapping: arrays that the user keeps would use up all there are.
    size = sum(segment.address.size for segment in segments)
    start = _mmap(None, size, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1)
    memory = (ctypes.c_char * size).from_address(start)
    weakref.finalize(memory, _libc().munmap, start, size).atexit = False
    for segment in segments:
        address = segment.address
        _mmap(start, address.size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED, address.descriptor)
        start += address.size
    return memoryview(memory).cast("B")


def _mmap(start: int | None, size: int, protection: int, flags: int, descriptor: int) -> int:
    address: int = _libc().mmap(start, size, protection, flags, descriptor, 0)
    if address == _FAILED:
        raise OSError(ctypes.get_errno(), "cannot map shared memory")
    return address


def _read(segments: Sequence[Segment]) -> memoryview:
    copy = memoryview(bytearray(sum(segment.address.size for segment in segments)))
    end = 0
    for segment in segments:
        start, end = end, end + segment.address.size
        done = start
        while done < end:
            done += os.preadv(segment.address.descriptor, [copy[done : min(end, done + PIECE)]], done - start)
    return copy
