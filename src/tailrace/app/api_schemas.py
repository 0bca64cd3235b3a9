"""What the API's answers look like, for its description at `/openapi.json`.

Rule: a shape here has every field that is there, so that a test which compares answers with it notices what differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tailrace.llm.codec import Object

Responses = dict[int | str, dict[str, Any]]
"""In the type that the framework wants."""


def _object(properties: Mapping[str, object], *, is_open: bool = False) -> Object:
    """An object with all of these fields, and with others if it is open."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": is_open,
    }


def _list(item: object) -> Object:
    return {"type": "array", "items": item}


def _or_null(kind: str) -> Object:
    return {"type": [kind, "null"]}


def _one_of(*values: object) -> Object:
    return {"enum": list(values)}


def _ref(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Object = {"type": "string"}
_FLAG: Object = {"type": "boolean"}
_COUNT: Object = {"type": "integer", "minimum": 0}
_NUMBER: Object = {"type": "number"}
_ANY: Object = {}
_COUNTS, _TEXTS = _list(_COUNT), _list(_TEXT)
_TEXT_OR_NULL, _COUNT_OR_NULL, _NUMBER_OR_NULL = _or_null("string"), _or_null("integer"), _or_null("number")
_HEADERS = _list({"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2})
_BYTES: Object = {"anyOf": [_TEXT, _object({"base64": _TEXT})]}
_KIND = _one_of("text", "reasoning", "tool", "control", "heartbeat", "error")
_OUTCOMES = ("open", "complete", "upstream_error", "truncated", "timeout", "client_gone", "stopped", "crashed")
_CHANGE = _one_of("added", "removed", "changed")
_TOOL_CALL = _object({"name": _TEXT, "arguments": _ANY})
_GAPS = _object({
    "count": _COUNT, "p50_ns": _COUNT_OR_NULL, "p95_ns": _COUNT_OR_NULL, "p99_ns": _COUNT_OR_NULL,
    "max_ns": _COUNT_OR_NULL,
})  # fmt: skip
_LANE = _object({"offsets_ns": _list({"type": "integer"}), "characters": _COUNTS})

SCHEMAS: Mapping[str, Object] = {
    "Error": _object({
        "error": {
            **_object({"message": _TEXT, "hint": _TEXT_OR_NULL, "code": _TEXT}, is_open=True),
            "description": "`parameter` names the wrong one; `start` and `end` are the place of the wrong word in "
            "a filter.",
        },
    }),
    "Row": _object({
        "id": _TEXT,
        "timestamp": {"type": "string", "format": "date-time"},
        "type": _one_of("Stream", "Normal"),
        "method": _TEXT,
        "path": _TEXT,
        "endpoint": _TEXT,
        "dialect": _TEXT,
        "upstream": _TEXT_OR_NULL,
        "model": _TEXT_OR_NULL,
        "session": _TEXT_OR_NULL,
        "tags": {"type": "object", "additionalProperties": _TEXT},
        "http_status": _COUNT_OR_NULL,
        "outcome": _one_of(*_OUTCOMES),
        "error": _TEXT_OR_NULL,
        "prompt": _TEXT_OR_NULL,
        "head_ns": _COUNT_OR_NULL,
        "first_byte_ns": _COUNT_OR_NULL,
        "last_byte_ns": _COUNT_OR_NULL,
        "ttft_ns": _COUNT_OR_NULL,
        "duration_ns": _COUNT_OR_NULL,
        "chunk_count": _COUNT,
        "byte_count": _COUNT,
        "lost_bytes": _COUNT,
        "input_tokens": _COUNT_OR_NULL,
        "output_tokens": _COUNT_OR_NULL,
        "finish_reason": _TEXT_OR_NULL,
        "cost_usd": _NUMBER_OR_NULL,
        "max_gap_ns": _COUNT_OR_NULL,
        "gaps_ms": _list(_NUMBER),
    }),
    "Rows": _object({
        "traces": _list(_ref("Row")), "next_cursor": _TEXT_OR_NULL, "live_id": _TEXT, "unindexed": _COUNT,
    }),
    "Trace": _object({
        "trace": _ref("Row"),
        "request": _object({"headers": _HEADERS, "body": _ANY}),
        "response": _object({"headers": _HEADERS}),
    }),
    "Timeline": _object({
        "trace": _ref("Row"),
        "reads": _object({"t_us": _COUNTS, "bytes": _COUNTS, "from": _COUNTS}),
        "events": _object({
            "t_us": _COUNTS, "bytes": _COUNTS, "kind": _COUNTS, "name": _COUNTS, "delta": _TEXTS, "read": _COUNTS,
        }),
        "names": _TEXTS,
        "answer": _TEXT_OR_NULL,
        "timing": _object({
            "head_ns": _COUNT_OR_NULL,
            "first_byte_ns": _COUNT_OR_NULL,
            "first_event_ns": _COUNT_OR_NULL,
            "first_content_ns": _COUNT_OR_NULL,
            "first_reasoning_ns": _COUNT_OR_NULL,
            "last_byte_ns": _COUNT_OR_NULL,
            "chunk_gaps": _GAPS,
            "event_gaps": _GAPS,
            "stalls": _object({"count": _COUNT, "longest_ns": _COUNT, "total_ns": _COUNT}),
            "output_tokens_per_s": _NUMBER_OR_NULL,
            "own_heartbeats": _COUNT,
            "upstream_heartbeats": _COUNT,
        }),
        "pace": _object({
            "total_chunks": _COUNT,
            "stream_duration_ms": _NUMBER_OR_NULL,
            "first_chunk_latency_ms": _NUMBER_OR_NULL,
            "average_gap_ms": _NUMBER_OR_NULL,
        }),
    }),
    "Events": _object({
        "events": _list(_object({
            "n": _COUNT, "t_ns": _COUNT, "gap_ns": _COUNT, "bytes": _COUNT, "event": _TEXT, "id": _TEXT_OR_NULL,
            "data": _TEXT_OR_NULL, "kind": _KIND, "delta": _TEXT, "read": _COUNT,
            "from": _one_of("upstream", "tailrace"), "incomplete": _FLAG,
        })),
        "total": _COUNT,
        "next": _COUNT_OR_NULL,
    }),
    "Chunks": _object({
        "chunks": _list(_object({
            "n": _COUNT, "t_ns": _COUNT, "gap_ns": _COUNT, "bytes": _COUNT,
            "from": _one_of("upstream", "tailrace", "converted"), "data": _BYTES,
        })),
        "total": _COUNT,
        "next": _COUNT_OR_NULL,
    }),
    "Message": _object({
        "message": _ANY,
        "text": _TEXT,
        "reasoning": _TEXT,
        "tool_calls": _list(_TOOL_CALL),
        "finish_reason": _TEXT_OR_NULL,
    }),
    "Diff": _object({
        "a": _TEXT,
        "b": _TEXT,
        "is_equal": _FLAG,
        "metrics": _list(_object({"name": _TEXT, "a": _ANY, "b": _ANY, "difference": _NUMBER_OR_NULL})),
        "request": _list(_ref("Change")),
        "answer": _object({
            "unit": _one_of("words", "lines", "text"),
            "pieces": _list(_object({"kind": _one_of("same", "removed", "added"), "text": _TEXT})),
        }),
        "is_answer_same": _FLAG,
        "tool_calls": _list(_object({
            "kind": {"anyOf": [_CHANGE, {"type": "null"}]}, "name": _TEXT,
            "a": {"anyOf": [_TOOL_CALL, {"type": "null"}]}, "b": {"anyOf": [_TOOL_CALL, {"type": "null"}]},
            "changes": _list(_ref("Change")),
        })),
        "timing": _object({"align": _one_of("start", "content"), "a": _LANE, "b": _LANE}),
    }),
    "Change": _object({
        "kind": _CHANGE, "path_a": _TEXT_OR_NULL, "path_b": _TEXT_OR_NULL, "old": _ANY, "new": _ANY,
    }),
    "Status": _object({
        "version": _TEXT,
        "address": _TEXT,
        "recording": _object({"ok": _FLAG, "error": _TEXT_OR_NULL, "lost_bytes": _COUNT}),
        "open": _COUNT,
        "has_keys": _FLAG,
        "upstreams": _list(_object({
            "name": _TEXT, "state": _one_of("ok", "not ready", "not reached"), "note": _TEXT_OR_NULL,
            "models": _TEXTS,
        })),
    }),
}  # fmt: skip
"""By the names that the description has for them."""

_REASONS = {
    400: "A parameter is not known or cannot be taken: `bad_parameter`, `bad_filter`.",
    401: "The token is missing or wrong: `no_access`.",
    403: "A page of another site asks: `forbidden`.",
    404: "There is no such trace: `not_found`.",
    409: "More than one trace begins with this: `ambiguous_id`; or it is still being recorded: `still_open`.",
    413: "A trace has more events than are compared here: `too_many_events`.",
    503: "The library cannot be read: `library_unavailable`; or too many look on: `too_many_followers`.",
}
_OF_ALL = (400, 401, 403, 503)
_SECURITY: list[Object] = [{"token": []}, {"cookie": []}]


def answers(name: str) -> Responses:
    """A good answer with this schema, and the errors that every route has."""
    return {200: {"description": "", "content": {"application/json": {"schema": _ref(name)}}}, **errors()}


def files(*content_types: str) -> Responses:
    """A good answer that is no JSON, or not only, and the errors that every route has."""
    return {200: {"description": "", "content": {each: {"schema": {}} for each in content_types}}, **errors()}


def errors(*statuses: int) -> Responses:
    """The errors that every route has, and these."""
    content = {"application/json": {"schema": _ref("Error")}}
    return {status: {"description": _REASONS[status], "content": content} for status in (*_OF_ALL, *statuses)}


def describe(api: FastAPI, guarded: str) -> None:
    """Has the framework describe the API with these schemas; what is below the path `guarded` needs the token."""

    def openapi() -> Object:
        if api.openapi_schema is None:
            document = get_openapi(title=api.title, version=api.version, summary=api.summary, routes=api.routes)
            components = document.setdefault("components", {})
            components["schemas"] = SCHEMAS
            components["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer", "description": "The token of the web UI"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "tailrace-PORT"},
            }
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    operation["responses"].pop("422", None)  # ours are 400
                    if path.startswith(guarded):
                        operation["security"] = _SECURITY
            api.openapi_schema = document
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]  # as the framework's documentation says
