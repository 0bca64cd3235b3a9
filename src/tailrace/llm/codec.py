"""JSON, through msgspec: the one module that knows it.

Half of a surrogate pair, escaped alone as in `"\\ud83d"`, is read as U+FFFD. RFC 8259 section 8.2 allows it, Python
and JavaScript write it for text that was cut inside a pair, and msgspec refuses it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
Object = dict[str, Any]
"""A JSON object of an API we do not own: what is in it is checked where it is used."""


class RequestFields(msgspec.Struct):
    """The two fields of a request that routing needs; the rest of the body is not built."""

    model: str | None = None
    stream: bool | None = None


Struct = msgspec.Struct
"""What `reader` builds: an object of which only the fields that it names are looked at. Without lists and objects of
Python's in it, `gc=False` makes it twice as fast."""

_request_fields = msgspec.json.Decoder(RequestFields)
_values = msgspec.json.Decoder()
_FAILURES = (msgspec.DecodeError, UnicodeError, RecursionError)
"""The last: nested too deep to be meant."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def request_fields(body: bytes) -> RequestFields:
    """Reads `model` and `stream`. Raises ValueError, saying where, for a body that is not such an object."""
    return _decoded(_request_fields, body)


def field_names(body: bytes) -> list[str]:
    """The names of an object's fields, each as often as it is there. Raises ValueError."""
    try:
        names: list[str] = json.loads(body, object_pairs_hook=lambda pairs: [name for name, _ in pairs])
    except RecursionError as error:
        raise ValueError(str(error)) from error
    return names


def loads(data: str | bytes) -> Any:
    """Any JSON value. Raises ValueError."""
    return _decoded(_values, data)


def load_object(data: str | bytes | None) -> Object | None:
    """A JSON object, or None for anything else."""
    if not data:
        return None
    try:
        value = loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def reader(shape: type[T]) -> Callable[[str], T | None]:
    """A function that reads JSON of one shape, several times as fast as `loads`; None for what is not of it.

    What is passed over has to be JSON, but for the size of its numbers.
    """
    decode = msgspec.json.Decoder(shape).decode

    def read(data: str) -> T | None:
        try:
            return decode(data)
        except _FAILURES:
            return None

    return read


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return msgspec.json.encode(value)


def _decoded(decoder: msgspec.json.Decoder[T], data: str | bytes) -> T:
    try:
        return decoder.decode(data)
    except _FAILURES as error:
        try:
            return decoder.decode(_without_halves(data))
        except (ValueError, *_FAILURES):
            raise ValueError(str(error)) from error


def _without_halves(data: str | bytes) -> bytes:
    """The same JSON, written anew by the standard library, with U+FFFD for each half of a surrogate pair."""
    text = data if isinstance(data, str) else data.decode()
    if not _SURROGATE.search(text):
        raise ValueError("it is no JSON for another reason")
    written = json.dumps(json.loads(text), ensure_ascii=False)
    return written.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
