"""Everything that can be configured, in one frozen object, read once.

Each field carries its environment variable, a help text and a parser; ``flask --app wsgi settings`` prints the table
and ``docs/configuration.md`` is generated from it. Nobody else reads the environment.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values, load_dotenv

DEFAULT_API_KEY = "github-copilot-openai-api-key"
"""The key that the original project ships with. Everybody knows it, so it counts for private callers only."""

DEFAULT_MAPPING: Mapping[str, str] = {"gpt-o4-mini": "claude-opus-4.6", "gpt-4o-mini": "claude-opus-4.6"}


class SettingsError(ValueError):
    """A variable holds something unusable. One line: the variable, what is wrong, an example."""


class Secret:
    """A string that does not show itself: ``str()`` and ``repr()`` are ``***``, ``reveal()`` is the value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


# ── parsers: text → value, or ValueError with the problem in words ──────────────────────────────────────────────────


def _text(raw: str) -> str:
    if "\n" in raw or "\r" in raw:
        raise ValueError("has a line break")
    return raw


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError(f"is not a whole number from {low} to {high}") from None
        if not low <= value <= high:
            raise ValueError(f"is not between {low} and {high}")
        return value

    return parse


def _flag(raw: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if raw.lower() not in words:
        raise ValueError("is neither true nor false")
    return words[raw.lower()]


def _seconds(raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        raise ValueError("is not a number of seconds") from None
    if not (math.isfinite(value) and value > 0):
        raise ValueError("is not a positive number of seconds")
    return value


def parse_url(raw: str) -> str:
    """A base URL, without a slash at its end. Raises: ValueError with the problem in words."""
    try:
        parts = urlsplit(raw)
        _ = parts.port  # raises on a port that is no number
    except ValueError:
        raise ValueError("is not a URL") from None
    if any(char.isspace() for char in raw):
        raise ValueError("is not a URL: it has a space in it")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http:// or https:// URL")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must have neither user name, query nor fragment")
    return raw.rstrip("/")


def _redis_url(raw: str) -> Secret:
    if urlsplit(raw).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("is not a redis://, rediss:// or unix:// URL")
    return Secret(raw)


def _choice(*allowed: str, fold: Callable[[str], str] = str.lower) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if fold(raw) not in allowed:
            raise ValueError(f"is not one of {', '.join(allowed)}")
        return fold(raw)

    return parse


def _keys(raw: str) -> tuple[Secret, ...]:
    keys = [part.strip() for part in raw.split(",")]
    for key in filter(None, keys):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("has a key with a space or a character that no HTTP header can carry")
    return tuple(Secret(key) for key in dict.fromkeys(filter(None, keys)))


def _origins(raw: str) -> tuple[str, ...]:
    origins = tuple(part.strip().rstrip("/") for part in raw.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if origin == "*":
            raise ValueError("names no origin ('*' would let any web page in); list the origins")
        if not parts.scheme or not parts.netloc or parts.path or parts.query:
            raise ValueError(f"holds {origin!r}, which is not an origin")
    return origins


def _mapping(raw: str) -> Mapping[str, str]:
    try:
        value = json.loads(raw)
    except ValueError:
        raise ValueError("is not JSON") from None
    if not isinstance(value, dict) or not all(isinstance(v, str) and v and k for k, v in value.items()):
        raise ValueError("is not a JSON object of model names")
    return dict(value)


def _token(raw: str) -> Secret:
    if not raw.isascii() or not raw.isprintable() or " " in raw:
        raise ValueError("is not a token (it has a space or an unprintable character)")
    return Secret(raw)


def _path(raw: str) -> Path:
    return Path(raw).expanduser()


def _editor_config_dir(env: Mapping[str, str]) -> Path:
    """Where editors keep Copilot's sign-in (contract §1.8)."""
    if sys.platform == "win32" and env.get("LOCALAPPDATA"):
        return Path(env["LOCALAPPDATA"]) / "github-copilot"
    return Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or "~").expanduser() / ".config") / "github-copilot"


# ── fields ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def setting(
    env: str,
    default: Any,
    parse: Callable[[str], Any],
    help: str,
    example: str,
    *,
    empty_is_a_value: bool = False,
) -> Any:
    """Declare one variable. A callable default is given the environment. An empty variable counts as unset, unless
    ``empty_is_a_value`` (compose files pass empty strings for what is not set)."""
    metadata = {
        "env": env,
        "default": default,
        "parse": parse,
        "help": help,
        "example": example,
        "empty_is_a_value": empty_is_a_value,
    }
    make = (lambda: default({})) if callable(default) else (lambda: default)
    return dataclasses.field(default_factory=make, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The effective configuration. Units are in the names: ``_s`` seconds, ``_bytes`` bytes."""

    host: str = setting("HOST", "0.0.0.0", _text, "address to listen on", "HOST=127.0.0.1")
    port: int = setting("PORT", 8000, _whole(1, 65535), "port to listen on", "PORT=8000")
    web_concurrency: int = setting(
        "WEB_CONCURRENCY", 2, _whole(1, 64), "number of worker processes", "WEB_CONCURRENCY=2"
    )
    worker_connections: int = setting(
        "WORKER_CONNECTIONS",
        4000,
        _whole(10, 100_000),
        "connections one worker holds at the same time (streams and idle keep-alives)",
        "WORKER_CONNECTIONS=4000",
    )
    graceful_timeout_s: int = setting(
        "GRACEFUL_TIMEOUT_S",
        30,
        _whole(1, 3600),
        "how long a stopping worker lets running answers finish",
        "GRACEFUL_TIMEOUT_S=30",
    )

    api_keys: tuple[Secret, ...] = setting(
        "API_KEY",
        (Secret(DEFAULT_API_KEY),),
        _keys,
        "key that clients must send; several separated by commas; empty = no key (private callers only)",
        "API_KEY=a-long-random-string",
        empty_is_a_value=True,
    )
    cors_origins: tuple[str, ...] = setting(
        "CORS_ORIGINS",
        (),
        _origins,
        "web origins that may call /v1/* from a page, separated by commas",
        "CORS_ORIGINS=https://chat.example.com",
    )
    trusted_proxies: int = setting(
        "TRUSTED_PROXIES",
        0,
        _whole(0, 9),
        "how many reverse proxies in front set X-Forwarded-For/-Proto/-Host (1 behind the nginx of deploy/)",
        "TRUSTED_PROXIES=1",
    )

    model_mapping: Mapping[str, str] = setting(
        "MODEL_MAPPING",
        DEFAULT_MAPPING,
        _mapping,
        "JSON object of model names to rename; replaces the default completely",
        'MODEL_MAPPING={"gpt-4": "gpt-4.1"}',
    )

    gh_copilot_token: Secret | None = setting(
        "GH_COPILOT_TOKEN",
        None,
        _token,
        "GitHub token to use instead of a sign-in",
        "GH_COPILOT_TOKEN=ghu_…",
    )
    data_dir: Path = setting("DATA_DIR", Path("data"), _path, "folder for sign-in and state", "DATA_DIR=./data")
    redis_url: Secret | None = setting(
        "REDIS_URL",
        None,
        _redis_url,
        "Redis for shared state, for several hosts; otherwise SQLite in DATA_DIR",
        "REDIS_URL=redis://localhost:6379/0",
    )
    editor_config_dir: Path = setting(
        "COPILOT_CONFIG_DIR",
        _editor_config_dir,
        _path,
        "folder in which editors keep their Copilot sign-in (hosts.json, apps.json)",
        "COPILOT_CONFIG_DIR=~/.config/github-copilot",
    )

    github_base_url: str = setting(
        "GITHUB_BASE_URL",
        "https://github.com",
        parse_url,
        "GitHub's web host, for the sign-in",
        "GITHUB_BASE_URL=https://tenant.ghe.com",
    )
    github_api_base_url: str = setting(
        "GITHUB_API_BASE_URL",
        "https://api.github.com",
        parse_url,
        "GitHub's REST host, for tokens and usage",
        "GITHUB_API_BASE_URL=https://api.tenant.ghe.com",
    )
    copilot_api_base_url: str | None = setting(
        "COPILOT_API_BASE_URL",
        None,
        parse_url,
        "Copilot's API host; wins over the one that GitHub names for the account",
        "COPILOT_API_BASE_URL=https://api.githubcopilot.com",
    )

    github_client_id: str = setting(
        "GITHUB_CLIENT_ID",
        "Iv1.b507a08c87ecfe98",
        _text,
        "client id of the device sign-in",
        "GITHUB_CLIENT_ID=Iv1.b507a08c87ecfe98",
    )
    editor_version: str = setting(
        "EDITOR_VERSION", "vscode/1.112.0", _text, "Editor-Version header", "EDITOR_VERSION=vscode/1.112.0"
    )
    editor_plugin_version: str = setting(
        "EDITOR_PLUGIN_VERSION",
        "copilot-chat/0.42.0",
        _text,
        "Editor-Plugin-Version header",
        "EDITOR_PLUGIN_VERSION=copilot-chat/0.42.0",
    )
    copilot_user_agent: str = setting(
        "COPILOT_USER_AGENT",
        "GitHubCopilotChat/0.42.0",
        _text,
        "User-Agent header",
        "COPILOT_USER_AGENT=GitHubCopilotChat/0.42.0",
    )
    copilot_integration_id: str = setting(
        "COPILOT_INTEGRATION_ID",
        "vscode-chat",
        _text,
        "Copilot-Integration-Id header",
        "COPILOT_INTEGRATION_ID=vscode-chat",
    )
    copilot_intent: str = setting(
        "COPILOT_INTENT",
        "conversation-panel",
        _text,
        "OpenAI-Intent and X-Interaction-Type headers of a conversation",
        "COPILOT_INTENT=conversation-agent",
    )
    copilot_api_version: str = setting(
        "COPILOT_API_VERSION",
        "2025-10-01",
        _text,
        "X-GitHub-Api-Version header on Copilot's API",
        "COPILOT_API_VERSION=2026-06-01",
    )
    github_api_version: str = setting(
        "GITHUB_API_VERSION",
        "2025-04-01",
        _text,
        "X-GitHub-Api-Version header on GitHub's REST API",
        "GITHUB_API_VERSION=2025-04-01",
    )

    upstream_connect_timeout_s: float = setting(
        "UPSTREAM_CONNECT_TIMEOUT_S", 10.0, _seconds, "time to reach Copilot", "UPSTREAM_CONNECT_TIMEOUT_S=10"
    )
    upstream_idle_timeout_s: float = setting(
        "UPSTREAM_IDLE_TIMEOUT_S",
        600.0,
        _seconds,
        "longest silence of Copilot (long reasoning can be silent for minutes)",
        "UPSTREAM_IDLE_TIMEOUT_S=600",
    )
    keep_alive_s: float = setting(
        "KEEP_ALIVE_S",
        10.0,
        _seconds,
        "the longest that a streaming client hears nothing while Copilot is silent",
        "KEEP_ALIVE_S=10",
    )
    upstream_retries: int = setting(
        "UPSTREAM_RETRIES",
        1,
        _whole(0, 5),
        "further attempts after a connect error, 408, 500, 502 or 504, before anything reached the client",
        "UPSTREAM_RETRIES=1",
    )
    answer_probes: bool = setting(
        "ANSWER_PROBES",
        False,
        _flag,
        'answer "are you there" probes (max_tokens of 1 and one or two words) here, without a request to Copilot',
        "ANSWER_PROBES=true",
    )
    web_search_model: str = setting(
        "WEB_SEARCH_MODEL",
        "",
        _text,
        "model that runs the web searches of Messages clients, e.g. Claude Code; it must have web search at Copilot's "
        "/responses. Empty: off, and clients are told so",
        "WEB_SEARCH_MODEL=gpt-5.4",
    )
    warm_up: bool = setting(
        "WARM_UP",
        True,
        _flag,
        "fetch token and model list when a worker starts, so that /readyz turns 200 without a first request",
        "WARM_UP=false",
    )
    github_timeout_s: float = setting(
        "GITHUB_TIMEOUT_S", 15.0, _seconds, "time for one call to GitHub", "GITHUB_TIMEOUT_S=15"
    )
    catalog_ttl_s: float = setting(
        "CATALOG_TTL_S", 600.0, _seconds, "age at which the model list is fetched anew", "CATALOG_TTL_S=600"
    )
    max_body_bytes: int = setting(
        "MAX_BODY_BYTES",
        32 * 1024 * 1024,
        _whole(1024, 1024**3),
        "largest request body",
        "MAX_BODY_BYTES=33554432",
    )
    image_max_bytes: int = setting(
        "IMAGE_MAX_BYTES",
        10 * 1024 * 1024,
        _whole(1024, 1024**3),
        "largest image fetched for an image URL",
        "IMAGE_MAX_BYTES=10485760",
    )
    image_timeout_s: float = setting(
        "IMAGE_TIMEOUT_S", 15.0, _seconds, "time to fetch the images of one request", "IMAGE_TIMEOUT_S=15"
    )

    log_level: str = setting(
        "LOG_LEVEL",
        "INFO",
        _choice("DEBUG", "INFO", "WARNING", "ERROR", fold=str.upper),
        "least level that is logged",
        "LOG_LEVEL=INFO",
    )
    log_format: str = setting(
        "LOG_FORMAT",
        "auto",
        _choice("auto", "json", "text"),
        "json, text, or auto (text on a terminal)",
        "LOG_FORMAT=json",
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read and check all variables.

        Raises: SettingsError for the first bad one.
        """
        values = {field.name: _read(field, env) for field in dataclasses.fields(cls)}
        return cls(**values)

    @classmethod
    def load(cls, folder: Path | None = None) -> Settings:
        """Read the process environment, completed by ``.env`` in the working directory (the environment wins).

        The file goes into the process environment, because requests reads the proxy and CA variables from there.
        """
        load_dotenv((folder or Path.cwd()) / ".env", override=False)
        return cls.from_env(os.environ)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for the log filter."""
        found = [*self.api_keys, self.gh_copilot_token, self.redis_url]
        return tuple(secret.reveal() for secret in found if secret)


def faults(env: Mapping[str, str] | None = None) -> list[SettingsError]:
    """Everything that is wrong with the variables, where reading them ends at the first. None: the environment."""
    found = []
    for field in dataclasses.fields(Settings):
        try:
            _read(field, os.environ if env is None else env)
        except SettingsError as error:
            found.append(error)
    return found


@dataclass(frozen=True)
class EnvFile:
    """The ``.env`` in use. names: what it sets, in its order. overridden: those that the environment sets otherwise."""

    path: Path
    names: tuple[str, ...]
    overridden: tuple[str, ...]


def env_file(folder: Path | None = None) -> EnvFile | None:
    """Look at the ``.env`` in the working directory, after `Settings.load`; None if there is none that can be read."""
    path = (folder or Path.cwd()) / ".env"
    if not os.access(path, os.R_OK) or not path.is_file():
        return None
    values = {name: value for name, value in dotenv_values(path).items() if value is not None}
    overridden = (name for name, value in values.items() if os.environ.get(name, value) != value)
    return EnvFile(path, tuple(values), tuple(overridden))


def _read(field: dataclasses.Field[Any], env: Mapping[str, str]) -> Any:
    meta = field.metadata
    raw = env.get(meta["env"])
    if raw is not None:
        raw = raw.strip()
    if raw is None or (raw == "" and not meta["empty_is_a_value"]):
        return meta["default"](env) if callable(meta["default"]) else meta["default"]
    try:
        return meta["parse"](raw)
    except ValueError as problem:
        shown = "its value" if _is_secret(field) else repr(raw if len(raw) <= 60 else raw[:57] + "…")
        raise SettingsError(f"{meta['env']}: {shown} {problem}; example: {meta['example']}") from None


def _is_secret(field: dataclasses.Field[Any]) -> bool:
    return "Secret" in str(field.type)


@dataclass(frozen=True)
class SettingRow:
    """One line of the settings table: variable, value (secrets masked), default, help."""

    env: str
    value: str
    default: str
    help: str


def rows(settings: Settings) -> list[SettingRow]:
    """The settings as a table, for the command line and the docs."""
    table = []
    for field in dataclasses.fields(settings):
        meta = field.metadata
        default = (
            "~/.config/github-copilot" if callable(meta["default"]) else _show(meta["default"], reveal_default=True)
        )
        table.append(SettingRow(meta["env"], _show(getattr(settings, field.name)), default, meta["help"]))
    return table


def _show(value: object, *, reveal_default: bool = False) -> str:
    if value is None or value == ():
        return "–"
    if isinstance(value, tuple):
        return ", ".join(_show(item, reveal_default=reveal_default) for item in value)
    if isinstance(value, Secret):
        # The well-known default is no secret, and that it is in use is what the reader must see.
        return DEFAULT_API_KEY if value.reveal() == DEFAULT_API_KEY else "***"
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
