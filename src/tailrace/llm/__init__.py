"""What LLM streams mean: dialects, their endings, their text, and the summary of a tape."""

from tailrace.llm.cost import Price, Prices, cost_usd
from tailrace.llm.dialect import Delta, DeltaKind, Dialect, Facts, Final
from tailrace.llm.dialects import named, of_path
from tailrace.llm.heartbeat import HeartbeatStyle
from tailrace.llm.summary import summarise
from tailrace.llm.synthesis import Identity, Piece
from tailrace.llm.timing import Timing, measure
from tailrace.llm.watch import CompressedWatch, LineWatch, StreamWatch, watch_for

__all__ = [
    "CompressedWatch",
    "Delta",
    "DeltaKind",
    "Dialect",
    "Facts",
    "Final",
    "HeartbeatStyle",
    "Identity",
    "LineWatch",
    "Piece",
    "Price",
    "Prices",
    "StreamWatch",
    "Timing",
    "cost_usd",
    "measure",
    "named",
    "of_path",
    "summarise",
    "watch_for",
]
