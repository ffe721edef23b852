"""Whether somebody is writing a run: the same rule as the program's (include/tether/run/lease.hpp).

A holder on this machine is alive if its process is, with the start time it had; one elsewhere if its
heartbeat, that is the file's time of change, is younger than the expiry time.
"""
from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

EXPIRY_S = 45.0


def _boot_identity() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return "unknown"


def _process_alive(pid: int, start: int) -> bool:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0] not in "XZ" and int(fields[19]) == start
    except (OSError, IndexError, ValueError):
        return False


def is_live(folder: Path) -> bool:
    path = folder / "lease"
    try:
        holder = json.loads(path.read_text())
        host, boot = holder["host"], holder["boot"]
        pid, start = int(holder["pid"]), int(holder["process_start"])
        written = path.stat().st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if host == socket.gethostname() and boot == _boot_identity():
        return _process_alive(pid, start)
    return time.time() - written < EXPIRY_S
