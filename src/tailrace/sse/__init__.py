"""The wire format of Server-Sent Events: bytes to events and back, without I/O."""

from tailrace.sse.boundary import Boundary
from tailrace.sse.decoder import MAX_RECONNECTION_TIME_MS, Decoder
from tailrace.sse.encoder import encode, encode_comment
from tailrace.sse.event import Comment, Event

__all__ = [
    "MAX_RECONNECTION_TIME_MS",
    "Boundary",
    "Comment",
    "Decoder",
    "Event",
    "encode",
    "encode_comment",
]
