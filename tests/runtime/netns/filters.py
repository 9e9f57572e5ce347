"""What the seccomp filters of a process answer to a call, by their own instructions, read from the kernel.

For root on the machine that runs the process: ptrace(2), PTRACE_SECCOMP_GET_FILTER. Names of calls are libseccomp's.
"""

import ctypes
import ctypes.util
import os
import struct
from collections.abc import Sequence

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
ARCHITECTURES = {"x86_64": 0xC000003E, "x86": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
X32 = 0x40000000  # added to the number of a call
HIGHEST = 470  # number looked at; Linux 6.18 ends there

_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER, _WALL = 0x4206, 0x4207, 17, 0x420C, 0x40000000

Program = list[tuple[int, int, int, int]]


def names(architecture: str) -> dict[str, int]:
    """Every call that libseccomp knows there, and its number."""
    library = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    library.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
    found = {}
    for number in range(HIGHEST):
        address = library.seccomp_syscall_resolve_num_arch(ARCHITECTURES[architecture], number)
        if address:
            found[ctypes.string_at(address).decode()] = number
    return found


def installed(pid: int) -> list[Program]:
    """The filters of process *pid*, the newest first."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long

    def trace(request: int, argument: int = 0, buffer: object = None) -> int:
        answer: int = libc.ptrace(request, pid, argument, buffer)
        if answer < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), f"ptrace {request:#x}")
        return answer

    trace(_SEIZE)
    try:
        trace(_INTERRUPT)
        os.waitpid(pid, _WALL)
        programs: list[Program] = []
        while True:
            try:
                count = trace(_GET_FILTER, len(programs))
            except FileNotFoundError:
                return programs
            buffer = ctypes.create_string_buffer(count * 8)
            trace(_GET_FILTER, len(programs), buffer)
            programs.append([struct.unpack_from("=HBBI", buffer, 8 * line) for line in range(count)])
    finally:
        trace(_DETACH)


def answer(program: Program, architecture: str, number: int, arguments: Sequence[int] = ()) -> int:
    """What *program* returns for a call: ALLOW, or ERRNO with the number added. Runs what libseccomp generates."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, ARCHITECTURES[architecture], 0, *padded)
    accumulator = at = 0
    while True:
        code, then, otherwise, value = program[at]
        at += 1
        match code:
            case 0x20:  # load a word of the call
                (accumulator,) = struct.unpack_from("=I", data, value)
            case 0x54:  # and
                accumulator &= value
            case 0x05:  # jump
                at += value
            case 0x15:
                at += then if accumulator == value else otherwise
            case 0x25:
                at += then if accumulator > value else otherwise
            case 0x35:
                at += then if accumulator >= value else otherwise
            case 0x45:
                at += then if accumulator & value else otherwise
            case 0x06:
                return value
            case _:
                raise ValueError(f"instruction {code:#x} is none that libseccomp was seen to generate")
