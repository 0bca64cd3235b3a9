"""What LLM streams mean: dialects, their endings, their text, and the summary of a tape."""

from tailrace.llm.dialect import Delta, DeltaKind, Dialect, Facts, Final
from tailrace.llm.dialects import named, of_path
from tailrace.llm.summary import summarise
from tailrace.llm.watch import CompressedWatch, EndingWatch

__all__ = [
    "CompressedWatch",
    "Delta",
    "DeltaKind",
    "Dialect",
    "EndingWatch",
    "Facts",
    "Final",
    "named",
    "of_path",
    "summarise",
]
