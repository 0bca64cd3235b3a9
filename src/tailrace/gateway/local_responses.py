"""What a local model's Responses lack, added: llama.cpp leaves out fields that OpenAI's always have and that its SDKs
read, such as `sequence_number`, `output_index`, and the `model` in the first events.

Rules. A field is added where it is missing, and nothing that the engine said is changed, so that no text can be. What
is not understood passes as it is. How the bytes are cut into chunks changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tailrace.client.transport import READ_ERRORS
from tailrace.gateway import headers
from tailrace.gateway.conversion import MAX_WHOLE_BYTES
from tailrace.gateway.upstream import Answer
from tailrace.llm.codec import Object, dumps, load_object
from tailrace.llm.dialect import member, objects, text
from tailrace.llm.responses_assembly import PLACES
from tailrace.sse.decoder import DEFAULT_MAX_EVENT_BYTES

_PATH = "/responses"
_EVENT_END = b"\n\n"

_ECHOED: Object = {
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
}
"""What a response repeats of its request, and what it says where the request said nothing."""

_NUMBERED_PARTS = {"response.content_part": "content", "response.reasoning_summary_part": "summary"}
"""The events that begin and end a part of an item, and the list that it is in."""


def completed(answer: Answer, path: str, request_body: bytes, *, model: str, created: int) -> Answer:
    """The same answer, or, if it is one to a request for a response, that answer with what it lacks. `created` is Unix
    time in seconds."""
    if not path.partition("?")[0].endswith(_PATH) or answer.status != 200 or headers.coding(answer.headers):
        return answer
    filling = Filling(load_object(request_body) or {}, model=model, created=created)
    if headers.is_event_stream(answer.headers):
        return CompletedAnswer(answer, StreamCompletion(filling))
    if headers.media_type(answer.headers) == "application/json":
        return CompletedAnswer(answer, WholeCompletion(filling))
    return answer


class Filling:
    """What the objects of one answer are filled up with."""

    def __init__(self, request: Object, *, model: str, created: int) -> None:
        echoed = {name: default if request.get(name) is None else request[name] for name, default in _ECHOED.items()}
        self._response: Object = {
            "object": "response",
            "created_at": created,
            "model": model,
            "output": [],
            "error": None,
            "incomplete_details": None,
            **echoed,
            "usage": None,
        }

    def fill_response(self, response: Object) -> None:
        """A whole response, or as much of one as there is."""
        _fill(response, self._response)
        items = objects(response["output"])
        for item in items:
            fill_item(item)
        usage = member(response, "usage")
        if usage:
            # Nobody counts the tokens of reasoning here; where there is none they are known all the same.
            has_reasoning = any(item.get("type") == "reasoning" for item in items)
            _fill(usage, {"input_tokens_details": {}, "output_tokens_details": {}})
            _fill(member(usage, "input_tokens_details"), {"cached_tokens": 0, "cache_write_tokens": 0})
            _fill(member(usage, "output_tokens_details"), {"reasoning_tokens": None if has_reasoning else 0})


def fill_item(item: Object) -> None:
    """An item of a response's output, with its parts."""
    call_id = text(item.get("call_id"))
    if call_id is not None:  # which is what the engine's events call it by, if it has no id of its own
        _fill(item, {"id": call_id})
    for part in objects(item.get("content")):
        fill_part(part)


def fill_part(part: Object) -> None:
    """A part of an item."""
    if part.get("type") == "output_text":
        _fill(part, {"annotations": [], "logprobs": []})


def _fill(value: Object, defaults: Object) -> None:
    for name, default in defaults.items():
        value.setdefault(name, default)


class Completion(Protocol):
    """Bytes in, bytes out: `feed` every chunk of a body, then `close`."""

    def feed(self, data: bytes) -> bytes:
        """Takes the next chunk, of any size, and gives what can go on."""
        ...

    def close(self) -> bytes:
        """The body has ended, well or not: gives what is left."""
        ...


class WholeCompletion:
    """Of a response in one piece."""

    def __init__(self, filling: Filling) -> None:
        self._filling = filling
        self._held = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> bytes:
        if self._is_too_long:
            return data
        self._held += data
        self._is_too_long = len(self._held) > MAX_WHOLE_BYTES
        return self._taken() if self._is_too_long else b""

    def close(self) -> bytes:
        held = self._taken()
        response = load_object(held)
        if response is None or response.get("object") != "response":
            return held
        self._filling.fill_response(response)
        return dumps(response)

    def _taken(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held


class StreamCompletion:
    """Of a stream of events.

    The engine ends its lines with LF. An event with a CR in it, or one that is too long, is not the engine's: from
    there on everything passes as it is.
    """

    def __init__(self, filling: Filling) -> None:
        self._numbering = _Numbering(filling)
        self._held = bytearray()
        """An event that is not all there."""
        self._is_foreign = False

    def feed(self, data: bytes) -> bytes:
        if self._is_foreign:
            return data
        seam = self._held[-1:] + data
        self._held += data
        if _EVENT_END not in seam and not _is_foreign(self._held):
            return b""
        return self._taken()

    def close(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held

    def _taken(self) -> bytes:
        """The events that are all there; and the rest, too, if it is foreign."""
        held = self.close()
        done: list[bytes] = []
        start = 0
        while (end := held.find(_EVENT_END, start)) >= 0 and not _is_foreign(held[start:end]):
            done.append(self._numbering.completed(held[start:end]) + _EVENT_END)
            start = end + len(_EVENT_END)
        rest = held[start:]
        self._is_foreign = end >= 0 or _is_foreign(rest)
        if self._is_foreign:
            done.append(rest)
        else:
            self._held += rest
        return b"".join(done)


def _is_foreign(event: bytes | bytearray) -> bool:
    return b"\r" in event or len(event.removesuffix(b"\n")) > DEFAULT_MAX_EVENT_BYTES


class _Numbering:
    """Which event, item and part of a stream it is."""

    def __init__(self, filling: Filling) -> None:
        self._filling = filling
        self._event_count = 0
        self._item_count = 0
        self._outputs: dict[str, int] = {}
        """The places of the items, by their ids."""
        self._parts: dict[tuple[str, str], int] = {}
        """The last part of an item that has begun, by the item's id and the list that the part is in."""

    def completed(self, event: bytes) -> bytes:
        """An event, without the blank line that ends it. Its other lines stay as they are."""
        lines = event.split(b"\n")
        places = [place for place, line in enumerate(lines) if line.partition(b":")[0] == b"data"]
        payload = load_object(lines[places[0]].partition(b":")[2]) if len(places) == 1 else None
        kind = None if payload is None else text(payload.get("type"))
        if payload is None or kind is None or not (kind.startswith("response.") or kind == "error"):
            return event
        self._complete(payload, kind)
        lines[places[0]] = b"data: " + dumps(payload)
        return b"\n".join(lines)

    def _complete(self, payload: Object, kind: str) -> None:
        payload.setdefault("sequence_number", self._event_count)
        self._event_count += 1
        if response := member(payload, "response"):
            self._filling.fill_response(response)
        item = member(payload, "item")
        if item:
            fill_item(item)
        fill_part(member(payload, "part"))
        item_id = text(item.get("id")) or text(payload.get("item_id"))
        if item_id is not None:
            payload.setdefault("output_index", self._output_index(item_id, begins=kind == "response.output_item.added"))
            self._number_part(payload, kind, item_id)

    def _output_index(self, item_id: str, *, begins: bool) -> int:
        if begins or item_id not in self._outputs:
            self._outputs[item_id] = self._item_count
            self._item_count += 1
        return self._outputs[item_id]

    def _number_part(self, payload: Object, kind: str, item_id: str) -> None:
        stem, _, verb = kind.rpartition(".")
        place = PLACES.get(stem)
        parts = _NUMBERED_PARTS.get(stem) if place is None else place.parts
        if parts is None:
            return
        if place is None and verb == "added":
            self._parts[item_id, parts] = self._parts.get((item_id, parts), -1) + 1
        payload.setdefault(f"{parts}_index", self._parts.get((item_id, parts), 0))
        if stem == "response.output_text":
            payload.setdefault("logprobs", [])


class CompletedAnswer:
    """An answer whose body goes through a completion."""

    def __init__(self, answer: Answer, completion: Completion) -> None:
        self.status = answer.status
        self.headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
        self.sink: Callable[[bytes], bool] | None = None
        """Never called: whoever reads gets all of it."""
        self._answer = answer
        self._completion = completion
        self._has_ended = False
        self._failure: OSError | None = None

    async def read(self) -> bytes:
        """As `Response.read`. What came before a fault is given before the fault is raised."""
        while not self._has_ended:
            try:
                chunk = await self._answer.read()
            except READ_ERRORS as error:
                chunk, self._failure = b"", error
            self._has_ended = not chunk
            if data := self._completion.feed(chunk) if chunk else self._completion.close():
                return data
        if self._failure is not None:
            raise self._failure
        return b""

    def close(self) -> None:
        self._answer.close()
