"""The settings: what is in force, where it comes from, and what does not go together. Calls nobody."""

from __future__ import annotations

import difflib
import ipaddress
import os
import platform
import re
import stat
from collections.abc import Iterator
from importlib import metadata

from app import github_hosts
from app.doctor.finding import Finding, note, ok, problem
from app.errors import Sentence
from app.settings import DEFAULT_API_KEY, EnvFile, Settings, SettingsError, rows
from app.version import VERSION

_NEW_KEY = Sentence(
    "Make one with:\n    %(command)s", command='python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
)
# What requests and Compose read from the same file.
_OTHERS = re.compile(
    r"(?i:https?_proxy|all_proxy|no_proxy)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SSL_CERT_\w+|TZ|LANG|COMPOSE_\w+|PYTHON\w*"
)
_SHORT_KEY = 16
_USUAL_IMAGES_BYTES = 4 * 1024 * 1024


def check_faults(faults: list[SettingsError]) -> Iterator[Finding]:
    """When the settings cannot be read at all: each variable that is wrong."""
    for fault in faults:
        yield problem(
            fault.variable, fault.what, Sentence("Mend it in .env, or where the environment of the service is set.")
        )


def check_start(trouble: str) -> Iterator[Finding]:
    """When the service cannot be built although each variable by itself is right."""
    yield problem(Sentence("start"), trouble, Sentence("The bridge cannot start until this is mended."))


def check_settings(settings: Settings, file: EnvFile | None) -> Iterator[Finding]:
    yield from _file(settings, file)
    yield from _keys(settings)
    yield from _combinations(settings)
    yield from _runtime(settings)


def _file(settings: Settings, file: EnvFile | None) -> Iterator[Finding]:
    table = rows(settings)
    changed = [row.env for row in table if row.is_set]
    where = (
        Sentence("read from %(file)s and the environment", file=file.path)
        if file
        else Sentence("read from the environment; no .env file here")
    )
    yield ok(
        Sentence("settings"),
        Sentence("%(where)s; changed: %(names)s", where=where, names=", ".join(changed) or Sentence("none")),
    )
    if file is None:
        return
    known = [row.env for row in table]
    for name in file.names:
        if name not in known and not _OTHERS.fullmatch(name):
            close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.75)
            meant = (
                Sentence("Did you mean %(name)s?", name=close[0])
                if close
                else Sentence("docs/configuration.md lists them all.")
            )
            yield note(
                Sentence("unknown variable"),
                Sentence("%(name)s in %(file)s is no setting of the bridge.", name=name, file=file.path.name),
                meant,
            )
    if file.overridden:
        yield note(
            Sentence("overridden"),
            Sentence(
                "The environment sets %(names)s otherwise than %(file)s, and wins.",
                names=", ".join(file.overridden),
                file=file.path.name,
            ),
            Sentence("Unset it in the environment if the file shall count."),
        )
    holds_secrets = {"API_KEY", "GH_COPILOT_TOKEN", "REDIS_URL"} & set(file.names)
    if os.name == "posix" and holds_secrets and stat.S_IMODE(file.path.stat().st_mode) & 0o044:
        yield note(
            Sentence("file mode"),
            Sentence("Other users of this machine can read %(path)s, which holds secrets.", path=file.path),
            Sentence("Close it:\n    chmod 600 .env"),
        )


def _keys(settings: Settings) -> Iterator[Finding]:
    keys = [key.reveal() for key in settings.api_keys]
    local = is_loopback(settings.host)
    reach = Sentence("only this machine reaches it")
    advice = Sentence("")
    if not local:
        reach = Sentence("HOST=%(host)s listens to the network", host=settings.host)
        advice = Sentence.joined(Sentence("Set an API_KEY of your own before others can reach the port."), _NEW_KEY)
    if not keys:
        status = ok if local else note
        yield status(
            Sentence("API key"),
            Sentence("none is needed (API_KEY is empty), by private callers only; %(reach)s.", reach=reach),
            advice,
        )
        return
    if DEFAULT_API_KEY in keys:
        status = ok if local else note
        yield status(
            Sentence("API key"),
            Sentence("the well-known default, which counts for private callers only; %(reach)s.", reach=reach),
            advice,
        )
        if settings.trusted_proxies:
            yield problem(
                Sentence("API key and proxy"),
                Sentence("TRUSTED_PROXIES is set, but callers from outside are refused with the default key (403)."),
                Sentence.joined(Sentence("Set an API_KEY of your own."), _NEW_KEY),
            )
    elif any(len(key) < _SHORT_KEY for key in keys):
        yield note(
            Sentence("API key"),
            Sentence("one is shorter than %(short_key)s characters and could be guessed.", short_key=_SHORT_KEY),
            _NEW_KEY,
        )
    else:
        yield ok(
            Sentence("API key"),
            Sentence("%(count)s of your own", count=len(keys)) if len(keys) > 1 else Sentence("one of your own"),
        )


def _combinations(settings: Settings) -> Iterator[Finding]:
    web, api = f"https://{github_hosts.PUBLIC}", github_hosts.api_url(github_hosts.PUBLIC)
    if (settings.github_base_url == web) != (settings.github_api_base_url == api):
        yield problem(
            Sentence("GitHub hosts"),
            Sentence(
                "GITHUB_BASE_URL=%(github_base_url)s, but GITHUB_API_BASE_URL=%(github_api_base_url)s.",
                github_base_url=settings.github_base_url,
                github_api_base_url=settings.github_api_base_url,
            ),
            Sentence("They belong together: set GITHUB_HOST in place of both, e.g. GITHUB_HOST=tenant.ghe.com."),
        )
    elif settings.github_base_url != web:
        yield ok(
            Sentence("GitHub hosts"),
            Sentence(
                "%(github_base_url)s, %(github_api_base_url)s",
                github_base_url=settings.github_base_url,
                github_api_base_url=settings.github_api_base_url,
            ),
        )
    if settings.gh_copilot_token and settings.github_app_id:
        yield note(
            Sentence("sign-in"),
            Sentence("Both GH_COPILOT_TOKEN and GITHUB_APP_ID are set; the token goes first."),
            Sentence("Unset GH_COPILOT_TOKEN to sign in as the GitHub App."),
        )
    if settings.copilot_api_base_url:
        yield note(
            Sentence("Copilot host"),
            Sentence(
                "COPILOT_API_BASE_URL=%(copilot_api_base_url)s replaces the one that GitHub names for the account.",
                copilot_api_base_url=settings.copilot_api_base_url,
            ),
            Sentence("Unset it unless you need it: a host of another plan answers 421."),
        )
    if settings.max_body_bytes < _USUAL_IMAGES_BYTES:
        yield note(
            "MAX_BODY_BYTES",
            Sentence(
                "%(max_body_bytes)s bytes is little: images travel inside the request.",
                max_body_bytes=settings.max_body_bytes,
            ),
            Sentence("The default is 33554432 (32 MiB)."),
        )


def _runtime(settings: Settings) -> Iterator[Finding]:
    versions = [f"copilot-bridge {VERSION}", f"Python {platform.python_version()}"]
    for package in ("gunicorn", "gevent", "flask", "requests"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield problem(
                Sentence("packages"),
                Sentence("%(package)s is not installed.", package=package),
                Sentence("Install what is needed:\n    pip install -r requirements.txt"),
            )
    yield ok(Sentence("programs"), ", ".join(versions))
    cores = os.cpu_count() or 1
    told = Sentence(
        "%(count)s of gunicorn's gevent kind, on %(cores)s CPU cores", count=settings.web_concurrency, cores=cores
    )
    if (files := _open_files()) is not None:
        # A request holds two sockets, the client's and Copilot's; some files are the process's own.
        at_once = min(settings.worker_connections, max(0, files - 64) // 2)
        told = Sentence("%(told)s; each can serve about %(count)s streams at once", told=told, count=at_once)
        if at_once < _FEW_STREAMS:
            yield note(
                Sentence("open files"),
                Sentence(
                    "The limit of %(files)s open files leaves room for %(at_once)s streams in each worker.",
                    files=files,
                    at_once=at_once,
                ),
                Sentence("Raise it: ulimit -n 8192, or LimitNOFILE=8192 in the systemd unit."),
            )
    if settings.web_concurrency > 2 * cores:
        yield note(
            Sentence("workers"),
            Sentence("%(told)s.", told=told),
            Sentence("More workers than cores bring nothing: WEB_CONCURRENCY=%(cores)s.", cores=cores),
        )
    else:
        yield ok(Sentence("workers"), told)


_FEW_STREAMS = 100


def _open_files() -> int | None:
    """The limit for this process, which the service started from the same shell would have; None where unknown."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft > 0 else None


def is_loopback(host: str) -> bool:
    """Whether an address to listen on, or the host of a URL, is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
