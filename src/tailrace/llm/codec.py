"""JSON, through msgspec: the one module that knows it."""

from __future__ import annotations

from typing import Any

import msgspec

Object = dict[str, Any]
"""A JSON object of an API we do not own: what is in it is checked where it is used."""


class RequestFields(msgspec.Struct):
    """The two fields of a request that routing needs; the rest of the body is not built."""

    model: str | None = None
    stream: bool | None = None


_request_fields = msgspec.json.Decoder(RequestFields)


def request_fields(body: bytes) -> RequestFields:
    """Reads `model` and `stream`. Raises ValueError, saying where, for a body that is not such an object."""
    try:
        return _request_fields.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def loads(data: str | bytes) -> Any:
    """Any JSON value. Raises ValueError."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:  # the last: nested too deep to be meant
        raise ValueError(str(error)) from error


def load_object(data: str | bytes | None) -> Object | None:
    """A JSON object, or None for anything else."""
    if not data:
        return None
    try:
        value = loads(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return msgspec.json.encode(value)
