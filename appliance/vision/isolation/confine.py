"""Give up what a decoder does not need: files, network, programs, other processes, more memory than agreed.

libseccomp, on which systemd itself depends, translates the list of system calls for this processor.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource

_ALLOW, _EPERM = 0x7FFF0000, 0x00050000 | 1
"""SCMP_ACT_ALLOW and SCMP_ACT_ERRNO(EPERM), from seccomp.h. Refusing is enough, and survives a new libc."""
_MASKED_EQ = 7
_CALLS = (
    "read", "write", "recvfrom", "sendto", "recvmsg", "sendmsg", "close",
    "brk", "munmap", "mremap", "madvise", "futex", "sched_yield", "sched_getaffinity", "getrandom",
    "clock_gettime", "clock_nanosleep", "gettimeofday", "getpid", "gettid",
    "rt_sigreturn", "rt_sigaction", "rt_sigprocmask", "sigaltstack", "exit", "exit_group",
)  # fmt: skip
_MEMORY_CALLS = ("mmap", "mprotect")
"""Allowed without PROT_EXEC, which is in their third argument."""


class _Comparison(ctypes.Structure):
    """struct scmp_arg_cmp"""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def confine(memory_bytes: int) -> None:
    """Confine this process and its future threads for good. `memory_bytes`: what it may allocate from now on.

    Raises OSError if the system cannot.
    """
    with open("/proc/self/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * mmap.PAGESIZE
    for limit, value in (
        (resource.RLIMIT_AS, mapped + memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (value, value))
    _filter_calls(ctypes.CDLL("libseccomp.so.2", use_errno=True))


def _filter_calls(library: ctypes.CDLL) -> None:
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_EPERM)))
    if rules.value is None:
        raise OSError("libseccomp cannot create a filter")
    for name in _CALLS:
        _check(library.seccomp_rule_add_array(rules, ctypes.c_uint32(_ALLOW), _number(library, name), 0, None), name)
    executable = _Comparison(2, _MASKED_EQ, mmap.PROT_EXEC, 0)
    for name in _MEMORY_CALLS:
        _check(
            library.seccomp_rule_add_array(
                rules, ctypes.c_uint32(_ALLOW), _number(library, name), 1, ctypes.byref(executable)
            ),
            name,
        )
    _check(library.seccomp_load(rules), "seccomp_load")


def _number(library: ctypes.CDLL, name: str) -> int:
    return int(library.seccomp_syscall_resolve_name(name.encode()))


def _check(result: int, name: str) -> None:
    if result < 0:
        raise OSError(-result, f"{name}: {os.strerror(-result)}")
