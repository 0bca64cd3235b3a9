"""What never reaches a tape, and what always does."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.tape import Redactor
from tailrace.tape.redaction import FIELDS, HEADERS, QUERY_KEYS
from tape.given import chat_stream

DEFAULT = Redactor()
SECRET = "sk-5f3A9"


def masked(*chunks: str | bytes, redactor: Redactor = DEFAULT) -> str:
    """What the chunks of one stream become."""
    masker = redactor.masker()
    found = b""
    for chunk in chunks:
        raw = chunk if isinstance(chunk, bytes) else chunk.encode()
        out = masker.mask(raw)
        assert len(out) == len(raw), "a chunk changed its length"
        found += out
    return found.decode()


def cut(wire: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(wire) + 1) for place in places), len(wire)]
    return [wire[start:end] for start, end in pairwise(edges)]


# --- headers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Authorization", f"Bearer {SECRET}", "Bearer [redacted]"),
        ("authorization", f"Basic {SECRET}", "Basic [redacted]"),
        ("AUTHORIZATION", SECRET, "[redacted]"),
        ("Proxy-Authorization", f"Basic {SECRET}", "Basic [redacted]"),
        ("x-api-key", SECRET, "[redacted]"),
        ("api-key", SECRET, "[redacted]"),
        ("x-goog-api-key", SECRET, "[redacted]"),
        ("APCA-API-KEY-ID", SECRET, "[redacted]"),
        ("APCA-API-SECRET-KEY", SECRET, "[redacted]"),
        ("Cookie", f"session={SECRET}; theme=dark", "[redacted]"),
        ("Set-Cookie", f"session={SECRET}; Path=/; HttpOnly", "[redacted]"),
        ("Cookie", f"{SECRET} b", "[redacted]"),
        ("x-api-key", f"Bearer {SECRET}", "[redacted]"),
        ("x-auth-token", f"correct horse {SECRET}", "[redacted]"),
        ("authorization", f"AWS4-HMAC-SHA256 Credential={SECRET}", "[redacted]"),
    ],
)
def test_a_credential_header_loses_its_value_and_authorization_keeps_its_scheme(
    name: str, value: str, kept: str
) -> None:
    assert DEFAULT.headers(((name, value),)) == ((name, kept),)


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_each_default_header_is_redacted_in_any_case(name: str) -> None:
    for spelt in (name, name.upper(), name.title()):
        assert DEFAULT.headers(((spelt, SECRET),)) == ((spelt, "[redacted]"),)


def test_other_headers_stay_in_their_order_with_repeats() -> None:
    headers = (
        ("Content-Type", "application/json"),
        ("Accept", "a"),
        ("accept", "b"),
        ("x-ratelimit-remaining-tokens", "14"),
        ("x-request-id", "7"),
    )

    assert DEFAULT.headers(headers) == headers


def test_a_header_can_be_named_besides_the_defaults() -> None:
    redactor = Redactor(headers=HEADERS | {"X-Internal"})

    assert redactor.headers((("x-internal", "1"), ("x-api-key", "2"))) == (
        ("x-internal", "[redacted]"),
        ("x-api-key", "[redacted]"),
    )


# --- query and form --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", sorted(QUERY_KEYS))
def test_the_value_of_a_secret_query_key_is_replaced(key: str) -> None:
    assert DEFAULT.path(f"/v1/models?a=1&{key}={SECRET}&b=2") == f"/v1/models?a=1&{key}=[redacted]&b=2"


def test_query_keys_are_compared_decoded_and_without_regard_to_case() -> None:
    assert DEFAULT.path(f"/x?API%5fKey={SECRET}&Token={SECRET}") == "/x?API%5fKey=[redacted]&Token=[redacted]"


@pytest.mark.parametrize("path", ["/v1/keys/key", "/x?", "/x?max_tokens=1&monkey=2&key", "/x?a=key&b=token", "/?&&=&"])
def test_a_path_without_a_secret_key_stays(path: str) -> None:
    assert DEFAULT.path(path) == path


def test_a_form_body_has_its_secret_values_replaced() -> None:
    body = f"grant_type=code&client_secret={SECRET}&code=7".encode()

    kept = DEFAULT.body(body, "application/x-www-form-urlencoded; charset=utf-8")

    assert kept == b"grant_type=code&client_secret=[redacted]&code=7"


def test_a_form_body_of_any_bytes_survives() -> None:
    body = bytes(range(256))

    assert DEFAULT.body(body, "application/x-www-form-urlencoded") == body


# --- JSON ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"api_key":"sk-1"}', '{"api_key":"****"}'),
        ('{"api_key" : \r\n\t "sk-1"}', '{"api_key" : \r\n\t "****"}'),
        ('{"password":"a\\"b\\\\","x":1}', '{"password":"******","x":1}'),
        ('{"password":"\\\\","x":"y"}', '{"password":"**","x":"y"}'),
        ('{"password":"\\u00e9é"}', '{"password":"********"}'),
        ('{"password":""}', '{"password":""}'),
        ('{"secret":-12.5e+3,"n":7}', '{"secret":-11.1e+1,"n":7}'),
        ('{"secret":12}', '{"secret":11}'),
        ('{"secret":true,"a":1}', '{"secret":true,"a":1}'),
        ('{"secret":null}', '{"secret":null}'),
        ('{"secret":["a",{"b":"c","d":[12]}],"x":"y"}', '{"secret":["*",{"*":"*","*":[11]}],"x":"y"}'),
        ('{"secret":{},"x":{"y":"z"}}', '{"secret":{},"x":{"y":"z"}}'),
        ('{"secret":[],"x":["y"]}', '{"secret":[],"x":["y"]}'),
        ('{"secret":{"a":"}"},"x":"y"}', '{"secret":{"*":"*"},"x":"y"}'),
        ('{"a":{"id_token":"x"},"refresh_token":"y"}', '{"a":{"id_token":"*"},"refresh_token":"*"}'),
        ('[{"secret":1},{"secret":"b"}]', '[{"secret":1},{"secret":"*"}]'),
        ('{"apiKey":"a","clientSecret":"b","accessToken":"c"}', '{"apiKey":"*","clientSecret":"*","accessToken":"*"}'),
    ],
)
def test_the_value_of_a_secret_field_is_masked_and_the_json_keeps_its_shape(text: str, kept: str) -> None:
    assert masked(text) == kept
    assert len(kept.encode()) == len(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"max_tokens":16,"total_tokens":9,"prompt_tokens":4,"completion_tokens":5}',
        '{"logprobs":{"content":[{"token":"Hello","logprob":-0.1}]}}',
        '{"Password":"exact","secrets":"x","my_secret":"y","secret_":"z"}',
        '{"type":"password","is":"secret"}',
        '["secret","password"]',
        '{"content":"{\\"secret\\":\\"in a string\\"}"}',
        '{"secret"',
        'data: {"choices":[{"delta":{"content":" the secret"}}]}\n\n',
    ],
)
def test_names_are_compared_whole_and_only_as_keys(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_each_default_field_is_masked_wherever_it_is_cut(field: str) -> None:
    text = f'{{"{field}":"{SECRET}"}}'

    for place in range(len(text)):
        assert masked(text[:place], text[place:]) == f'{{"{field}":"********"}}'


def test_a_field_can_be_named_besides_the_defaults() -> None:
    redactor = Redactor(fields=FIELDS | {"pin", "söde"})

    assert masked('{"pin":1234,"söde":"x","api_key":"y"}', redactor=redactor) == '{"pin":1111,"söde":"*","api_key":"*"}'


def test_after_a_value_that_was_cut_the_next_event_is_read_again() -> None:
    stream = 'data: {"password":"abc\n\ndata: {"content":"hello"}\n\ndata: {"password":"x"}\n\n'

    assert "abc" not in masked(stream)
    assert masked(stream).endswith('data: {"password":"*"}\n\n')


WIRE = (
    b'data: {"max_tokens": 7, "api_key" : "sk-\\"5f3A9\\\\", "n": 12}\n\n'
    b'data: {"secret":  {"a": [-12.5e3, "x\\u0041", {"b": null}]}, "content": " secret", "password":"y", "z":[3]}\n\n'
    b'data: {"secret":45,"access_token":67}\n\ndata: {"private_key"   \n  :   "z"}\n\n'
)


def test_a_secret_that_is_cut_at_any_place_is_masked_like_a_whole_one() -> None:
    for place in range(len(WIRE) + 1):
        assert masked(WIRE[:place], WIRE[place:]) == masked(WIRE), place


def test_a_secret_that_comes_byte_by_byte_is_masked_like_a_whole_one() -> None:
    assert masked(*(WIRE[at : at + 1] for at in range(len(WIRE)))) == masked(WIRE)


@pytest.mark.parametrize(
    ("stream", "kept"),
    [
        ('data: {"password":\ndata: "topsecret"}\n\n', 'data: {"password":\ndata: "*********"}\n\n'),
        ('data: {"password"\r\ndata:  :\r\ndata:"top"}\r\n', 'data: {"password"\r\ndata:  :\r\ndata:"***"}\r\n'),
        ('data:{"secret":\ndata:\ndata: 123\ndata: ,"n":1}', 'data:{"secret":\ndata:\ndata: 111\ndata: ,"n":1}'),
        ('data: {"secret":\ndata: ["a",\ndata: "b"]}', 'data: {"secret":\ndata: ["*",\ndata: "*"]}'),
        ('{"secret":\n"data"}', '{"secret":\n"****"}'),
    ],
)
def test_a_value_on_another_line_of_an_event_is_masked_wherever_it_is_cut(stream: str, kept: str) -> None:
    assert masked(stream) == kept
    for place in range(len(stream) + 1):
        assert masked(stream[:place], stream[place:]) == kept, place
    assert masked(*stream) == kept


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n\n\n"])
def test_an_event_that_breaks_off_before_a_value_does_not_mask_the_next_one(end: str) -> None:
    stream = f'data: {{"password":{end}data: {{"content":"hello"}}{end}'

    assert masked(stream) == stream
    assert masked(*stream) == stream


def test_text_is_masked_as_json_and_is_not_longer_than_before() -> None:
    assert DEFAULT.text('said {"api_key":"sk-1"} \ud800') == 'said {"api_key":"****"} \ud800'
    assert DEFAULT.text('{"secret":"é') == '{"secret":"*'
    assert Redactor.off().text('{"secret":"a"}') == '{"secret":"a"}'


@pytest.mark.parametrize("spaces", [0, 1, 15, 16, 17, 200])
def test_a_key_and_its_colon_may_be_any_distance_apart_in_different_chunks(spaces: int) -> None:
    text = f'{{"secret"{" " * spaces}:"x"}}'

    for place in range(len(text)):
        assert masked(text[:place], text[place:]) == text.replace("x", "*")


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.sampled_from(["a", "max_tokens", "total_tokens", "token", "content", "Secret", "secrets", *sorted(FIELDS)])
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=20
)


def without_secrets(document: Any, *, hidden: bool = False) -> Any:
    """The document as it may be known: strings of a secret are stars, digits ones; objects as tuples of pairs."""
    if isinstance(document, dict):
        return tuple(
            (stars(name) if hidden else name, without_secrets(value, hidden=hidden or name in FIELDS))
            for name, value in document.items()
        )
    if isinstance(document, list):
        return [without_secrets(item, hidden=hidden) for item in document]
    if not hidden or document is None or isinstance(document, bool):
        return document
    if isinstance(document, str):
        return stars(document)
    return json.loads("".join("1" if character.isdigit() else character for character in json.dumps(document)))


def stars(text: str) -> str:
    return "*" * len(json.dumps(text)[1:-1])


@given(document=documents, indent=st.sampled_from([None, 2]), places=st.lists(st.integers(0, 10_000), max_size=12))
def test_any_document_in_any_pieces_loses_its_secrets_and_nothing_else(
    document: Any, indent: int | None, places: list[int]
) -> None:
    wire = json.dumps(document, indent=indent).encode()

    # As pairs: names inside a secret become the same stars, and none may be dropped.
    assert json.loads(masked(*cut(wire, places)), object_pairs_hook=tuple) == without_secrets(document)


@given(text=st.text(), places=st.lists(st.integers(0, 10_000), max_size=5))
@example(text='{"max_tokens":1}', places=[3])
def test_text_without_a_secret_field_is_unchanged(text: str, places: list[int]) -> None:
    if not any(f'"{field}"' in text for field in FIELDS):
        assert masked(*cut(text.encode(), places)) == text


alphabet = st.sampled_from(
    ['"secret"', '"password"', ":", " ", '"', "\\", "{", "}", "[", "]", ",", "1", "-", "x", "\n"]
)


@given(pieces=st.lists(alphabet, max_size=40), places=st.lists(st.integers(0, 10_000), max_size=12))
def test_any_text_gives_the_same_in_any_pieces(pieces: list[str], places: list[int]) -> None:
    wire = "".join(pieces).encode()

    assert masked(*cut(wire, places)) == masked(wire)


@given(secret=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=30))
def test_a_secret_string_never_shows(secret: str) -> None:
    quoted = json.dumps(secret)[1:-1]
    kept = masked(f'data: {{"api_key":"{quoted}"}}\n\n')

    assert kept == f'data: {{"api_key":"{"*" * len(quoted)}"}}\n\n'


def test_a_body_of_many_windows_is_masked_throughout() -> None:
    parts = [b'{"api_key":"%07d","pad":"%s"},' % (at, b"p" * random.Random(at).randint(1, 2000)) for at in range(2000)]
    body = b"[" + b"".join(parts) + b"0]"

    kept = DEFAULT.body(body, "application/json")

    assert len(body) > 4 * 256 * 1024
    assert len(kept) == len(body)
    assert {entry["api_key"] for entry in json.loads(kept)[:-1]} == {"*" * 7}
    assert [entry["pad"] for entry in json.loads(kept)[:-1]] == [entry["pad"] for entry in json.loads(body)[:-1]]


def test_a_model_stream_passes_unchanged() -> None:
    chunks = chat_stream(seed=3)

    assert masked(*chunks) == b"".join(chunks).decode()


def test_redaction_that_is_off_changes_nothing() -> None:
    off = Redactor.off()
    wire = f'{{"api_key":"{SECRET}"}}'

    assert masked(wire, redactor=off) == wire
    assert off.body(wire.encode(), "application/json") == wire.encode()
    assert off.body(b"key=1", "application/x-www-form-urlencoded") == b"key=1"
    assert off.path("/x?key=1") == "/x?key=1"
    assert off.headers((("Authorization", "Bearer 1"),)) == (("Authorization", "Bearer 1"),)
