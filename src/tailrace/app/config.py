"""The configuration: a TOML file, overridden by `TAILRACE_*` variables, checked as a whole.

A variable's name is the key's path in capitals with underscores: `TAILRACE_GATEWAY_DEADLINES_IDLE_S`. Lists of
tables, such as `[[upstream]]`, are set in the file only.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from tailrace.errors import ConfigError
from tailrace.gateway.settings import (
    GatewaySettings,
    LocalUpstreamSettings,
    PriceSettings,
    Route,
    Settings,
    UpstreamSettings,
)
from tailrace.llm import Price, summarise
from tailrace.llm.texts import index_texts
from tailrace.tape import Library, Redactor, Summarise
from tailrace.tape.redaction import FIELDS, HEADERS, QUERY_KEYS

DEFAULT_FILE = Path("tailrace.toml")
FILE_VARIABLE = "TAILRACE_CONFIG"
PREFIX = "TAILRACE_"


_KINDS: dict[str, type[BaseModel]] = {
    kind: member
    for member in get_args(get_args(UpstreamSettings)[0])
    for kind in get_args(member.model_fields["kind"].annotation)
}
"""The kinds of upstreams, with the settings of each."""


class ServerSettings(Settings):
    """The `[server]` table."""

    host: str = "127.0.0.1"
    """The address to listen on. Without keys, only this machine may reach it, so it has to be a loopback one."""
    port: int = Field(default=8080, ge=0, le=65535)
    """The port; 0 takes a free one."""
    workers: int = Field(default=1, ge=1)
    """How many processes serve the port. With more than one, a parent starts them, and again when one dies."""
    grace_s: float = Field(default=30, ge=0)
    """How long streams that are under way may take to finish when the server is told to stop, in seconds."""
    allowed_hosts: tuple[str, ...] = ()
    """Further values of the `Host` header that are answered, besides the loopback names; exact, with the port."""


class LibrarySettings(Settings):
    """The `[library]` table."""

    url: str = "sqlite:///~/.local/share/tailrace/tapes.db"
    """Where tapes are kept: `sqlite:///` and a path. A relative one is relative to the configuration file."""
    retain_days: int = Field(default=30, ge=0)
    """After how many days the server deletes traces; 0 keeps them for ever."""
    redact: Literal["default", "off"] = "default"
    """Whether credentials are left out of what is written."""
    redact_headers: tuple[str, ...] = ()
    """Further header names to redact."""
    redact_fields: tuple[str, ...] = ()
    """Further JSON field names to redact; exact."""
    redact_query: tuple[str, ...] = ()
    """Further query-string keys to redact."""

    def redactor(self) -> Redactor:
        """What these settings leave out."""
        if self.redact == "off":
            return Redactor.off()
        return Redactor(
            headers=HEADERS | set(self.redact_headers),
            fields=FIELDS | set(self.redact_fields),
            query_keys=QUERY_KEYS | set(self.redact_query),
        )


class Config(Settings):
    """The whole configuration."""

    server: ServerSettings = ServerSettings()
    library: LibrarySettings = LibrarySettings()
    gateway: GatewaySettings = GatewaySettings()
    upstream: tuple[UpstreamSettings, ...] = Field(
        default=(LocalUpstreamSettings(name="local", kind="local"),), min_length=1
    )
    """The far sides, in order. Without any, the local model."""
    route: tuple[Route, ...] = ()
    """Names for models of several upstreams, of which one is asked after the other."""
    price: tuple[PriceSettings, ...] = ()
    """What models cost."""

    def summariser(self) -> Summarise:
        """What derives the summary of a tape, with its cost."""
        prices = [
            (table.model, Price(table.input_per_million, table.output_per_million, table.cached_input_per_million))
            for table in self.price
        ]
        return partial(summarise, prices=prices)

    def open_library(self, *, read_only: bool = False) -> Library:
        """The library with all that its settings say. Raises `LibraryUnavailable`."""
        return Library(
            self.library.url,
            summarise=self.summariser(),
            index=index_texts,
            redactor=self.library.redactor(),
            read_only=read_only,
        )

    @field_validator("upstream")
    @classmethod
    def _names_differ(cls, value: tuple[UpstreamSettings, ...]) -> tuple[UpstreamSettings, ...]:
        names = [upstream.name for upstream in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two upstreams are named {twice!r}")
        return value

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        names = [upstream.name for upstream in self.upstream]
        models = [route.model for route in self.route]
        for route in self.route:
            if models.count(route.model) > 1:
                raise ValueError(f"two routes are for the model {route.model!r}")
            for target in route.targets:
                name, _, model = target.partition("/")
                if name not in names or not model:
                    raise ValueError(
                        f"route {route.model!r} has the target {target!r}, expected the name of an upstream, a slash "
                        f"and a model; the upstreams are {', '.join(names)}"
                    )
        return self


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration from `path`, else from `TAILRACE_CONFIG`, else from `tailrace.toml` if there is one.

    Raises `ConfigError`, which names the key, the place, what was found and what is allowed.
    """
    named = path or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    file = named or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    values = {} if file is None else _read(file)
    places = _override(values, environ)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise _explained(error, str(file) if file else "the environment", places) from error
    return config if file is None else _anchored(config, file.absolute().parent)


def variables() -> dict[str, tuple[str, ...]]:
    """Every `TAILRACE_*` variable that sets a key, with the key's path."""
    return {PREFIX + "_".join(path).upper(): path for path in _leaves(Config, ())}


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {file}: {error.strerror}", hint="--config names a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not TOML: {error}", hint="see docs/reference/configuration.md") from error


def _override(values: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    known = variables()
    places: dict[tuple[str, ...], str] = {}
    for name, text in environ.items():
        if not name.startswith(PREFIX) or name == FILE_VARIABLE:
            continue
        if name not in known:
            raise ConfigError(f"the variable {name} sets nothing", hint=_nearest(name, known))
        table: Any = values
        for key in known[name][:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{name} cannot be set: {key} is not a table in the configuration file",
                    hint=f"write its settings under [{key}]",
                )
        table[known[name][-1]] = _parsed(name, text)
        places[known[name]] = name
    return places


def _parsed(name: str, text: str) -> object:
    """Lists are written as JSON; everything else is text, which the key's type then reads."""
    if not (text.startswith("[") and text.endswith("]")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name} = {text!r} is not a list in JSON: {error}", hint='write ["a", "b"]') from error


def _leaves(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, (*path, name))
        elif not _is_tables(field.annotation):
            yield (*path, name)


def _is_tables(annotation: object) -> bool:
    return any(member in (UpstreamSettings, Route, PriceSettings) for member in get_args(annotation))


def _explained(error: ValidationError, file: str, places: Mapping[tuple[str, ...], str]) -> ConfigError:
    errors = error.errors()
    # A misspelt key that has to be there is missing, too, and that comes first.
    first = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
    path = tuple(str(part) for part in first["loc"] if part not in _KINDS)
    place = places.get(path, file)
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        allowed = _allowed(first["loc"])
        return ConfigError(f"{place}: there is no key {key}", hint=_nearest(path[-1], allowed))
    if first["type"] == "missing":
        return ConfigError(f"{place}: {key} is missing", hint="see docs/reference/configuration.md")
    if first["type"].startswith("union_tag"):
        return ConfigError(f"{place}: {key}.kind is missing or unknown", hint=f"allowed are {', '.join(_KINDS)}")
    message = str(first["msg"]).removeprefix("Value error, ").replace("valid tuple", "list")
    found = f"{key} = {first['input']!r}: " if path else ""  # else it is about several tables, and names them
    return ConfigError(f"{place}: {found}{message}", hint="see docs/reference/configuration.md")


def _allowed(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the table in which an unknown one was found."""
    if location[0] == "upstream" and len(location) > 2:
        return list(_KINDS[str(location[2])].model_fields)
    if location[0] in ("route", "price"):
        return list((Route if location[0] == "route" else PriceSettings).model_fields)
    model: type[BaseModel] = Config
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)


def _nearest(name: str, allowed: Iterable[str]) -> str:
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {close[0]}? " if close else "") + f"allowed are {', '.join(names)}"


def _anchored(config: Config, folder: Path) -> Config:
    """Relative paths in a file mean relative to the file, wherever the command is run."""
    upstreams = tuple(
        upstream.model_copy(update={"model_path": folder / upstream.model_path.expanduser()})
        if isinstance(upstream, LocalUpstreamSettings) and upstream.model_path is not None
        else upstream
        for upstream in config.upstream
    )
    library = config.library
    scheme, separator, path = library.url.partition(":///")
    if scheme == "sqlite" and path and not path.startswith(("/", "~")):
        library = library.model_copy(update={"url": f"{scheme}{separator}{folder / path}"})
    gateway = config.gateway
    if gateway.keys_file is not None:
        gateway = gateway.model_copy(update={"keys_file": folder / gateway.keys_file.expanduser()})
    return config.model_copy(update={"library": library, "upstream": upstreams, "gateway": gateway})
