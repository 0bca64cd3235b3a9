"""What the API answers when it cannot do as asked: one shape for every error of every route beside the gateway's.

    {"error": {"message": "limit is '0', expected ...", "hint": null, "code": "bad_parameter", "parameter": "limit"}}

`message` and `hint` are for people, `code` is for programs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tailrace.errors import AmbiguousTape, FilterError, LibraryError, TailraceError, TapeNotFound
from tailrace.gateway.refusal import WWW_AUTHENTICATE
from tailrace.llm.codec import Object, dumps

HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer of the API: what was recorded is kept by no cache and embedded by no other site."""

_MAX_SHOWN_CHARACTERS = 100

logger = logging.getLogger("tailrace.server")


class ApiError(Exception):
    """A request that is not answered. `more` are further fields of the error, such as the `parameter`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.hint = hint
        self.headers = dict(headers or {})
        self.more = more

    def response(self) -> Response:
        """The answer."""
        body: Object = {"message": str(self), "hint": self.hint, "code": self.code, **self.more}
        own = WWW_AUTHENTICATE if self.status == HTTPStatus.UNAUTHORIZED else {}
        return Response(
            dumps({"error": body}), self.status, {**HEADERS, **own, **self.headers}, media_type="application/json"
        )


def handle_errors(api: FastAPI) -> None:
    """Gives every error that a route may raise the one shape."""
    for kind, handler in (
        (ApiError, _as_it_is),
        (TailraceError, _of_the_library),
        (RequestValidationError, _of_parameters),
        (HTTPException, _of_routing),
        (Exception, _unexpected),
    ):
        api.add_exception_handler(kind, handler)


def as_api_error(error: TailraceError) -> ApiError:
    """What a reading function has raised, as the API says it."""
    match error:
        case TapeNotFound():
            return ApiError(404, "not_found", str(error), hint=error.hint)
        case AmbiguousTape():
            return ApiError(409, "ambiguous_id", str(error), hint=error.hint)
        case FilterError():
            place = {name: getattr(error, name) for name in ("start", "end") if hasattr(error, name)}
            return ApiError(400, "bad_filter", str(error), hint=error.hint, **place)
        case LibraryError():
            return ApiError(503, "library_unavailable", str(error), hint=error.hint)
        case _:
            return ApiError(500, "internal_error", str(error), hint=error.hint)


def bad_parameter(name: str, value: object, expected: str) -> ApiError:
    """A parameter that cannot be taken; `expected` says what can."""
    shown = repr(value) if len(str(value)) <= _MAX_SHOWN_CHARACTERS else f"{str(value)[:_MAX_SHOWN_CHARACTERS]!r}..."
    return ApiError(400, "bad_parameter", f"{name} is {shown}, expected {expected}", parameter=name)


async def _as_it_is(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _of_the_library(_: Request, error: Exception) -> Response:
    assert isinstance(error, TailraceError)
    return as_api_error(error).response()


async def _of_parameters(_: Request, error: Exception) -> Response:
    """The first of the parameters that do not fit, as one line."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    name = str(first["loc"][-1])
    if first["type"] == "missing":
        return ApiError(400, "bad_parameter", f"the parameter {name} is missing", parameter=name).response()
    return bad_parameter(name, first["input"], _expected(first["type"], first.get("ctx", {}))).response()


def _expected(kind: str, limits: Mapping[str, object]) -> str:
    """What a parameter takes, in our words, by what the framework calls the fault of the one that was given."""
    match kind:
        case "int_parsing" | "int_parsing_size" | "int_from_float" | "int_type":
            return "a whole number"
        case "bool_parsing" | "bool_type":
            return "true or false"
        case "greater_than_equal":
            return f"at least {limits['ge']}"
        case "less_than_equal":
            return f"at most {limits['le']}"
        case "string_too_long":
            return f"at most {limits['max_length']} characters"
        case "literal_error":
            return str(limits["expected"])
        case "string_pattern_mismatch":
            return "one that an answer has given"
    return "another one"


async def _of_routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, method = request.url.path, request.method
    if error.status_code == HTTPStatus.NOT_FOUND:
        return ApiError(
            404, "route_not_found", f"there is no {path}", hint="/openapi.json lists what there is"
        ).response()
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "")
        message = f"{path} does not take {method}, only {allowed}"
        return ApiError(405, "method_not_allowed", message, headers=error.headers).response()
    return ApiError(error.status_code, "refused", str(error.detail), headers=error.headers).response()


async def _unexpected(_: Request, error: Exception) -> Response:
    """The framework raises it again after this, and the server logs it with its traceback."""
    return ApiError(
        500, "internal_error", f"a fault in Tailrace: {type(error).__name__}", hint="its log has the traceback"
    ).response()
