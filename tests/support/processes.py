"""What the kernel says about processes."""

from __future__ import annotations

from pathlib import Path


def children(pid: int, running: str) -> list[int]:
    """The children of a process whose command line has this word."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found += map(int, (task / "children").read_text(encoding="ascii").split())
        except FileNotFoundError:
            continue
    return [child for child in found if running in _command_line(child)]


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and that nobody has asked about does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
    except FileNotFoundError:
        return []
