"""The store in Redis, shared by all workers of all hosts that are given the same ``REDIS_URL``."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from app.descriptors import none_left
from app.errors import Sentence, StoreError
from app.store.base import BUSY_LIMIT_S, LONGEST_LEASE_S, Change, Entry, wait_a_moment

if TYPE_CHECKING:
    from redis import Redis

_ENTRY = "copilot-bridge:entry:"
_LEASE = "copilot-bridge:lease:"
_MAX_CONNECTIONS = 32
# redis-py quotes what was to be written, and that may be a secret.
_QUOTED_COMMAND = re.compile(r"Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_PAGE = 500
_LONGEST_S = 100 * 365 * 86_400.0

_ACQUIRE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""
# A script is one moment: no other client's command comes in between.
_KEYS = """
local keys, cursor = {}, '0'
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. '*', 'COUNT', 500)
  cursor = page[1]
  for _, key in ipairs(page[2]) do keys[#keys + 1] = key end
until cursor == '0'
"""
_DUMP = (
    _KEYS
    + """
local found = {}
for _, key in ipairs(keys) do
  found[#found + 1] = {key, redis.call('GET', key), redis.call('PTTL', key)}
end
return found
"""
)
_LOAD = (
    _KEYS
    + """
for _, key in ipairs(keys) do redis.call('DEL', key) end
for at = 2, #ARGV, 3 do
  if ARGV[at + 2] == '' then
    redis.call('SET', ARGV[1] .. ARGV[at], ARGV[at + 1])
  else
    redis.call('SET', ARGV[1] .. ARGV[at], ARGV[at + 1], 'PX', ARGV[at + 2])
  end
end
"""
)


class RedisStore:
    """A `Store` at `url` (``redis://``, ``rediss://`` or ``unix://``); expiry is the server's business."""

    def __init__(self, url: str) -> None:
        self._client, self._place, self._password = _open_client(url)

    def get(self, key: str) -> str | None:
        with self._errors():
            return cast("str | None", self._client.get(_ENTRY + key))

    def get_many(self, keys: Sequence[str]) -> list[str | None]:
        with self._errors():
            return cast("list[str | None]", self._client.mget([_ENTRY + key for key in keys]))

    def put(self, key: str, value: str, *, ttl_s: float | None = None) -> None:
        if ttl_s is not None and ttl_s <= 0:
            self.delete(key)
            return
        with self._errors():
            self._client.set(_ENTRY + key, value, px=None if ttl_s is None else _to_ms(ttl_s))

    def delete(self, key: str) -> bool:
        with self._errors():
            return bool(self._client.delete(_ENTRY + key))

    def scan(self, prefix: str) -> dict[str, str]:
        pattern = _ENTRY + re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        with self._errors():
            # SCAN may name a key twice, and a key may expire before it is read.
            keys = sorted(set(self._client.scan_iter(match=pattern, count=_PAGE)))
            found: dict[str, str] = {}
            for start in range(0, len(keys), _PAGE):
                page = keys[start : start + _PAGE]
                values = cast("list[str | None]", self._client.mget(page))
                found |= {k.removeprefix(_ENTRY): v for k, v in zip(page, values, strict=True) if v is not None}
            return found

    def dump(self) -> list[Entry]:
        with self._errors():
            rows = cast("list[tuple[str, str | None, int]]", self._client.eval(_DUMP, 0, _ENTRY))
        # SCAN may name a key twice; a negative PTTL means: for good.
        found = {
            key.removeprefix(_ENTRY): Entry(key.removeprefix(_ENTRY), value, left_ms / 1000 if left_ms >= 0 else None)
            for key, value, left_ms in rows
            if value is not None
        }
        return [found[key] for key in sorted(found)]

    def load(self, entries: Iterable[Entry]) -> None:
        arguments: list[str] = []
        for entry in entries:
            if entry.ttl_s is None or entry.ttl_s > 0:
                arguments += [entry.key, entry.value, "" if entry.ttl_s is None else str(_to_ms(entry.ttl_s))]
        with self._errors():
            self._client.eval(_LOAD, 0, _ENTRY, *arguments)

    def update(self, key: str, change: Change) -> str | None:
        from redis.exceptions import WatchError

        give_up_at = time.monotonic() + BUSY_LIMIT_S
        while True:
            try:
                return self._try_update(_ENTRY + key, change)
            except WatchError as error:
                if time.monotonic() > give_up_at:
                    what = Sentence(
                        "%(place)s: others kept changing the same entry for %(seconds)s s.",
                        place=self._place,
                        seconds=format(BUSY_LIMIT_S, "g"),
                    )
                    raise StoreError(what) from error
            wait_a_moment()

    def acquire(self, name: str, *, owner: str, ttl_s: float) -> bool:
        if not 0 < ttl_s <= LONGEST_LEASE_S:
            raise ValueError(f"a lease needs a ttl_s above 0, and of {LONGEST_LEASE_S} at most")
        with self._errors():
            return bool(self._client.eval(_ACQUIRE, 1, _LEASE + name, owner, _to_ms(ttl_s)))

    def release(self, name: str, *, owner: str) -> None:
        with self._errors():
            self._client.eval(_RELEASE, 1, _LEASE + name, owner)

    def close(self) -> None:
        self._client.connection_pool.disconnect()

    def _try_update(self, full_key: str, change: Change) -> str | None:
        with self._errors(), self._client.pipeline() as pipe:
            pipe.watch(full_key)  # type: ignore[no-untyped-call]  # redis-py leaves this one untyped
            # Between WATCH and MULTI the pipeline answers at once, which its types do not tell.
            old = cast("str | None", pipe.get(full_key))
            new = change(old)
            if new != old:
                pipe.multi()
                if new is None:
                    pipe.delete(full_key)
                else:
                    pipe.set(full_key, new, keepttl=True)
                pipe.execute()
            return new

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        from redis.exceptions import RedisError, WatchError

        try:
            yield
        except WatchError:
            raise
        except (RedisError, OSError) as error:
            # `from None`: a logged traceback would repeat the text with whatever we have just masked.
            raise StoreError(self._explained(error)) from None

    def _explained(self, error: Exception) -> Sentence:
        from redis.exceptions import AuthenticationError, OutOfMemoryError

        text = _QUOTED_COMMAND.sub("", str(error))
        if self._password:
            text = text.replace(self._password, "***")
        told = {"place": self._place, "why": text}
        if (own_fault := none_left()) is not None:
            return Sentence("%(place)s cannot be used. %(why)s", place=self._place, why=own_fault.message)
        if isinstance(error, OutOfMemoryError) or "'maxmemory'" in text:  # the latter from a script
            return Sentence("%(place)s is full: make room, or raise its maxmemory. (%(why)s)", **told)
        if isinstance(error, AuthenticationError):
            return Sentence("%(place)s does not let the bridge in. Check the password in REDIS_URL. (%(why)s)", **told)
        return Sentence("%(place)s cannot be used. Check REDIS_URL and the server. (%(why)s)", **told)


def _open_client(url: str) -> tuple[Redis, str, str]:
    """Returns the client, where it points to (without user and password), and the password for masking."""
    try:
        from redis import BlockingConnectionPool, Redis
        from redis.backoff import ExponentialBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise StoreError(Sentence("REDIS_URL is set, but the Python package 'redis' is not installed.")) from error
    options: dict[str, Any] = {
        "decode_responses": True,
        "encoding_errors": "replace",  # a damaged value is for its reader to judge
        # The server need not know which library this is; for each connection a file would be read to tell it.
        "driver_info": None,
        # A stalled server must not hold every request of the worker for long; the URL may say otherwise.
        "socket_connect_timeout": 1.0,
        "socket_timeout": 1.0,
        "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), 1),
        # Waits for a free connection, where the plain pool fails when many greenlets come at once.
        "max_connections": _MAX_CONNECTIONS,
        "timeout": BUSY_LIMIT_S,
    }
    try:
        pool = BlockingConnectionPool.from_url(url, **options)
    except (ValueError, TypeError):
        # The reason may quote a piece of the password: "port could not be cast …" after an unescaped slash in it.
        raise StoreError(
            Sentence(
                "REDIS_URL is malformed. It has the form redis://[user:password@]host:port/database; special "
                "characters in the password must be percent-encoded."
            )
        ) from None
    kwargs = pool.connection_kwargs
    place = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return Redis(connection_pool=pool), f"Redis at {place}/{kwargs.get('db', 0)}", kwargs.get("password") or ""


def _to_ms(ttl_s: float) -> int:
    # Rounded up: 0 would be refused by the server, and so would be more than it can count.
    return math.ceil(min(ttl_s, _LONGEST_S) * 1000)
