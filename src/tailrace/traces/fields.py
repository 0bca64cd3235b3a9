"""The fields of a JSON object that somebody else may have written: each is what was expected, or there is one error
that says where it is, what it is called and what was expected.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from tailrace.errors import LibraryError
from tailrace.llm.codec import Object
from tailrace.tape import Headers

_MOST = 2**63 - 1  # of SQLite's integers
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Fields:
    """An object and the place it has in its file, such as `line 3`."""

    value: Object
    place: str

    @classmethod
    def of(cls, value: object, place: str) -> Fields:
        """The fields of what should be an object. Raises `LibraryError`."""
        if not isinstance(value, dict):
            raise LibraryError(f"{place} is {_shown(value)}, expected a JSON object")
        return cls(value, place)

    def text(self, name: str) -> str:
        value = self.value.get(name)
        return value if isinstance(value, str) else self.refuse(name, "a string")

    def text_or_none(self, name: str) -> str | None:
        return None if self.value.get(name) is None else self.text(name)

    def count(self, name: str) -> int:
        """A whole number from 0."""
        value = self.value.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST:
            return value
        return self.refuse(name, "a whole number, 0 or more")

    def count_or_none(self, name: str) -> int | None:
        return None if self.value.get(name) is None else self.count(name)

    def number(self, name: str) -> float:
        value = self.value.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MOST:
            return float(value)
        return self.refuse(name, "a number")

    def moment_ns(self, name: str) -> int:
        """An ISO 8601 time as Unix time in nanoseconds, to the microsecond."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            self.refuse(name, "an ISO 8601 time")
        if moment.tzinfo is None or moment < _EPOCH:
            self.refuse(name, "a time after 1970 with its offset from UTC")
        nanoseconds = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
        return nanoseconds if nanoseconds <= _MOST else self.refuse(name, "a time before 2262")

    def bytes(self, name: str) -> bytes:
        """Text, or `{"base64": ...}`."""
        value = self.value.get(name)
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and isinstance(value.get("base64"), str):
            try:
                return base64.b64decode(value["base64"], validate=True)
            except (ValueError, binascii.Error):
                pass
        return self.refuse(name, 'a string or {"base64": ...}')

    def list(self, name: str) -> list[object]:
        value = self.value.get(name)
        return value if isinstance(value, list) else self.refuse(name, "a list")

    def pairs(self, name: str) -> Headers:
        """A list of `[name, value]`."""
        return tuple(self._pair(name, item) for item in self.list(name))

    def tags(self, name: str) -> dict[str, str]:
        """An object whose values are strings."""
        value = self.value.get(name)
        if isinstance(value, dict) and all(isinstance(item, str) for item in value.values()):
            return dict(value)
        return self.refuse(name, "an object of strings")

    def fields(self, name: str) -> Fields:
        """The object under a name."""
        return Fields.of(self.value.get(name), f"{self.place}.{name}")

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Raises the `LibraryError` about one field."""
        raise LibraryError(f"{self.place}: {name} is {_shown(self.value.get(name))}, expected {expected}")

    def _pair(self, name: str, item: object) -> tuple[str, str]:
        match item:
            case [str(key), str(value)]:
                return key, value
            case _:
                return self.refuse(name, "a list of [name, value]")


def _shown(value: object) -> str:
    if value is None:
        return "not there"
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
