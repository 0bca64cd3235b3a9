"""Tailrace: the streaming layer for Python applications.

Every stream is a tape: an append-only, timed log of the bytes as they were.
"""

__version__ = "0.1.0"
