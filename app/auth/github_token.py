"""Where the GitHub token comes from: the environment, a GitHub App, our own sign-in, or an editor's (contract §1.8);
for a key that is bound to an account of its own, from there and nowhere else.

Ours is ``DATA_DIR/hosts.json`` in the shape that editors use, so that the same reader serves all:
``{"github.com": {"user": "octocat", "oauth_token": "ghu_…"}}``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

from app.errors import Sentence, StoreError
from app.logs import logger
from app.settings import Secret
from app.store.private_file import write_private

Source = Literal["environment", "app", "bridge", "editor", "key"]
Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class GitHubToken:
    """A long-lived GitHub token and where it was found. `user` is the login name if the file names one.

    identity: the fingerprint of a GitHub App, which has no token of its own (`secret` is empty) but makes one whenever
    it is needed.
    """

    secret: Secret
    source: Source
    user: str | None = None
    identity: str = ""
    fingerprint: str = field(init=False, compare=False, repr=False)
    """Names the token in the store and in memory without being it: 16 hex digits."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256(self.secret.reveal().encode()).hexdigest()[:16]
        object.__setattr__(self, "fingerprint", self.identity or digest)  # once: each request asks some six times

    @property
    def is_configured(self) -> bool:
        """Whether the operator's settings name it. Nobody can sign in anew to have it tried again."""
        return self.source in ("environment", "app")

    @property
    def kind(self) -> str:
        """``ghu``, ``gho``, ``ghs``, ``github_pat``, ``ghp`` … (contract §1.7)."""
        if self.source == "app":
            return "ghs"
        value = self.secret.reveal()
        return "github_pat" if value.startswith("github_pat_") else value.split("_", 1)[0]


class TokenSource(Protocol):
    """Whose calls these are: the bridge's own account, or that of one key."""

    def current(self) -> GitHubToken | None:
        """The token to use now, or None when nobody is signed in."""


class BoundToken:
    """The sign-in of the account that a key is bound to. There is no other for its calls, whatever becomes of it."""

    def __init__(self, secret: Secret, account: str) -> None:
        self._token = GitHubToken(secret, "key", account)

    def current(self) -> GitHubToken:
        return self._token


class GitHubTokens:
    """Finds, saves and forgets the GitHub token.

    Every request asks ``current()``, so that a sign-in in one worker holds at once in all: a ``stat`` per file tells
    whether it must be read again.
    """

    def __init__(
        self,
        *,
        environment: Secret | None,
        data_dir: Path,
        editor_config_dir: Path,
        github_base_url: str,
        app: str | None = None,
    ) -> None:
        """app: the fingerprint of the GitHub App to sign in as."""
        self._configured = GitHubToken(environment, "environment") if environment else None
        if self._configured is None and app:
            self._configured = GitHubToken(Secret(""), "app", identity=app)
        self._host = urlsplit(github_base_url).hostname or "github.com"
        self._own = data_dir / "hosts.json"
        self._files: list[tuple[Path, Source]] = [
            (self._own, "bridge"),
            (editor_config_dir / "hosts.json", "editor"),
            (editor_config_dir / "apps.json", "editor"),
        ]
        self._read: dict[Path, tuple[Stamp, GitHubToken | None]] = {}

    def current(self) -> GitHubToken | None:
        """The token to use now, or None when nobody is signed in."""
        if self._configured is not None:
            return self._configured
        return next((token for path, source in self._files if (token := self._from_file(path, source))), None)

    def save(self, value: str, user: str | None) -> None:
        """Write our ``hosts.json`` atomically, readable by us alone.

        Raises: StoreError when the folder cannot be written.
        """
        entry = {"oauth_token": value} | ({"user": user} if user else {})
        try:
            write_private(self._own, json.dumps({self._host: entry}).encode())
        except OSError as error:
            raise StoreError(
                Sentence(
                    "Cannot save the sign-in in %(folder)s: %(why)s. Check DATA_DIR.",
                    folder=self._own.parent,
                    why=error.strerror,
                )
            ) from error

    def forget(self) -> bool:
        """Remove our own sign-in; other tools' files are theirs. True if there was one."""
        try:
            self._own.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StoreError(
                Sentence("Cannot remove %(file)s: %(why)s.", file=self._own, why=error.strerror)
            ) from error
        return True

    def _from_file(self, path: Path, source: Source) -> GitHubToken | None:
        try:
            status = path.stat()
        except OSError:
            return None
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        known = self._read.get(path)
        if known is None or known[0] != stamp:
            try:
                known = self._read[path] = (stamp, self._parse(path, source))
            except OSError as error:  # of this machine, and perhaps of this moment: what was read last goes on to count
                _warn_unreadable(path, error)
        return known[1] if known is not None else None

    def _parse(self, path: Path, source: Source) -> GitHubToken | None:
        """Raises: OSError."""
        try:
            content = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            _warn_unreadable(path, error)
            return None
        if not isinstance(content, dict):
            return None
        # hosts.json has the key "github.com", apps.json "github.com:<client id>".
        for key, entry in content.items():
            if key.split(":")[0] == self._host and isinstance(entry, dict):
                value, user = entry.get("oauth_token"), entry.get("user")
                if not isinstance(value, str) or not value.strip():
                    continue
                if Secret.can_be_sent(value.strip()):
                    return GitHubToken(Secret(value.strip()), source, user if isinstance(user, str) else None)
                _warn_unreadable(path, ValueError("no token"))
        return None


def _warn_unreadable(path: Path, error: Exception) -> None:
    why = getattr(error, "strerror", None) or type(error).__name__
    logger.warning("sign-in file unreadable", extra={"fields": {"file": path.name, "why": why}})
