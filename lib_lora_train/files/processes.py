"""Which process is which: a process id is used again, a process id with its time of birth is not.

The time of birth is the system's own, not a clock's, so that a clock that is set does not change it. Standard library
only, as this runs in the host's process too.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

_ANSWER_S = 10.0

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _QUERY = 0x1000  # PROCESS_QUERY_LIMITED_INFORMATION
    _STILL_ACTIVE = 259

    def _kernel() -> ctypes.WinDLL:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
        kernel.GetProcessTimes.argtypes = (wintypes.HANDLE, *([ctypes.POINTER(wintypes.FILETIME)] * 4))
        kernel.GetExitCodeProcess.argtypes = (wintypes.HANDLE, ctypes.POINTER(wintypes.DWORD))
        kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
        return kernel

    def _birth(pid: int) -> str | None:
        kernel = _kernel()
        handle = kernel.OpenProcess(_QUERY, False, pid)
        if not handle:
            return None
        try:
            times = [wintypes.FILETIME() for _ in range(4)]
            code = wintypes.DWORD()
            asked = kernel.GetProcessTimes(handle, *(ctypes.byref(time) for time in times))
            if not asked or not kernel.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value != _STILL_ACTIVE:
                return None
            return str(times[0].dwHighDateTime << 32 | times[0].dwLowDateTime)
        finally:
            kernel.CloseHandle(handle)

elif sys.platform == "linux":

    def _birth(pid: int) -> str | None:
        try:
            state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if state in "ZX" else f"{boot}:{fields[18]}"  # field 22 of proc(5), counted from the third

else:

    def _birth(pid: int) -> str | None:
        command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_ANSWER_S, env={**os.environ, "LC_ALL": "C"}
        )
        state, _, began = done.stdout.strip().partition(" ")
        return began.strip() if began and not state.startswith("Z") else None


def birth(pid: int) -> str | None:
    """When the living process `pid` began, in words that only this machine's own answers equal; None without one."""
    return _birth(pid) if 0 < pid < 2**31 else None


def command_line(pid: int) -> list[str] | None:
    """The words that `pid` was started with, where the system lets us read them (Linux); None elsewhere."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return None


def machine() -> str:
    """This machine's name, to tell a folder on a share that another machine works in."""
    return platform.node() or "unknown"


def kill_group(pid: int) -> None:
    """End a process that leads a group of its own, and all of that group, at once. One that is gone is no error.

    Raises PermissionError for a process that does not lead its group: its group is somebody else's.
    """
    if sys.platform == "win32":
        command = ["taskkill", "/F", "/T", "/PID", str(pid)]
        subprocess.run(command, capture_output=True, check=False, timeout=_ANSWER_S)
        return
    try:
        if os.getpgid(pid) != pid or pid == os.getpgrp():
            raise PermissionError(f"process {pid} does not lead a group of its own")
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
