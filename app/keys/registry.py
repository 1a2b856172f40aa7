"""The keys in the database: made, listed, changed and revoked. Each change leaves another number for all workers to
find."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from app.database import Database
from app.errors import ForbiddenError, InvalidRequestError, NotFoundError, Sentence
from app.keys.key import Binding, Budget, Key, Limits, digest_of, may_share, new_secret, prefix_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, RowMapping

_VERSION: Final = "keys"
_TIMES: Final = ("created_at", "expires_at", "revoked_at", "last_used_at")
_OF_BINDING: Final = ("account", "bound_at", "sealed")
_PLAIN: Final = ("id", "name", "prefix", "digest", "role", "owner", "note", *_TIMES)


class KeyRegistry:
    """All keys, revoked ones included: the ledger names them. Raises: DatabaseError from every method."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def exists(self) -> bool:
        """Whether there can be any: asked without loading the database."""
        return self._database.exists()

    def all(self) -> list[Key]:
        """Every key, the oldest first."""
        if not self.exists():
            return []
        with self._database.read() as connection:
            return _all(connection)

    def version(self) -> float:
        """Another number after every change."""
        from sqlalchemy import select

        from app.database.tables import NOTES

        with self._database.read() as connection:
            found = connection.execute(select(NOTES.c.value).where(NOTES.c.name == _VERSION)).scalar()
        return float(found or 0)

    def find(self, name: str) -> Key:
        """The key of this name or id. Raises: NotFoundError."""
        from app.database.tables import CLIENT_KEYS

        if self.exists():
            with self._database.read() as connection:
                found = _some(connection, (CLIENT_KEYS.c.name == name) | (CLIENT_KEYS.c.id == name))
            if found:
                return found[0]
        raise NotFoundError(Sentence("There is no key %(name)s.", name=repr(name)), code="key_not_found")

    def make(self, name: str, **fields: Any) -> tuple[Key, str]:
        """A new key, and itself, which is kept nowhere. fields: as of `Key`.

        Raises: InvalidRequestError if there is one of this name.
        """
        from sqlalchemy.exc import IntegrityError

        from app.database.tables import CLIENT_KEYS

        secret = new_secret()
        key = Key(
            id=secrets.token_hex(6),
            name=name,
            prefix=prefix_of(secret),
            digest=digest_of(secret),
            created_at=self._clock(),
            **fields,
        )
        try:
            with self._database.write() as connection:
                connection.execute(CLIENT_KEYS.insert().values(**_row_of(key)))
                _tell_all(connection)
        except IntegrityError:
            raise InvalidRequestError(
                Sentence("There is a key %(name)s already. Choose another name.", name=repr(name)),
                param="name",
                code="key_exists",
            ) from None
        return key, secret

    def change(self, name: str, make: Callable[[Key], Key]) -> tuple[Key, Key]:
        """Change a key by what `make` makes of it; the key before and after.

        What it is called cannot change. Raises: NotFoundError, and what `make` raises; nothing has changed then.
        """
        from app.database.tables import CLIENT_KEYS

        id = self.find(name).id
        with self._database.write() as connection:
            _tell_all(connection)  # first of all: it makes changes wait for each other
            mine = CLIENT_KEYS.c.id == id
            [before] = _some(connection, mine)
            after = make(before)
            if after.binding is not None and after.owner != before.owner and _rivals(connection, after):
                raise InvalidRequestError(
                    Sentence(
                        "The key %(name)s is bound to the same GitHub account as another key of its owner, and so has "
                        "to have the same owner. Unbind one of them first.",
                        name=repr(after.name),
                    ),
                    param="owner",
                    code="account_in_use",
                )
            values = _row_of(after)
            for kept in ("id", "name", "digest", "prefix", "created_at", "last_used_at"):
                del values[kept]
            connection.execute(CLIENT_KEYS.update().where(mine).values(**values))
        return before, after

    def revoke(self, name: str) -> tuple[Key, Key]:
        """Make a key count no longer, and forget its account; the key before and after. Raises: NotFoundError."""
        from app.database.tables import CLIENT_KEYS, KEY_BINDINGS

        id = self.find(name).id
        with self._database.write() as connection:
            _tell_all(connection)
            [before] = _some(connection, CLIENT_KEYS.c.id == id)
            at = before.revoked_at or self._clock()
            connection.execute(CLIENT_KEYS.update().where(CLIENT_KEYS.c.id == id).values(revoked_at=at))
            connection.execute(KEY_BINDINGS.delete().where(KEY_BINDINGS.c.key_id == id))
        return before, replace(before, revoked_at=at, binding=None)

    def bind(self, id: str, account: str, sealed: bytes) -> tuple[Key, Key]:
        """Have a key's calls go by this account from now on; the key before and after.

        Raises: NotFoundError; ForbiddenError for a key that counts no longer, or an account that serves somebody else.
        """
        from app.database.tables import CLIENT_KEYS, KEY_BINDINGS

        self.find(id)
        now = self._clock()
        with self._database.write() as connection:
            _tell_all(connection)
            [before] = _some(connection, CLIENT_KEYS.c.id == id)
            if before.state(now) != "active":
                raise ForbiddenError(Sentence("This API key counts no longer."), code=f"key_{before.state(now)}")
            after = replace(before, binding=Binding(account, now, sealed))
            if _rivals(connection, after):
                raise ForbiddenError(
                    Sentence(
                        "The GitHub account %(account)s serves another API key already. One account serves one person "
                        "only: the operator of the bridge can name the same owner for both keys, if it is the same.",
                        account=account,
                    ),
                    code="account_in_use",
                )
            connection.execute(KEY_BINDINGS.delete().where(KEY_BINDINGS.c.key_id == id))
            values = {"key_id": id, "account": account, "bound_at": now, "sealed": sealed}
            connection.execute(KEY_BINDINGS.insert().values(**values))
        return before, after

    def unbind(self, name: str) -> tuple[Key, Key]:
        """Have the bridge's own account serve a key again; the key before and after. Raises: NotFoundError."""
        from app.database.tables import CLIENT_KEYS, KEY_BINDINGS

        id = self.find(name).id
        with self._database.write() as connection:
            _tell_all(connection)
            [before] = _some(connection, CLIENT_KEYS.c.id == id)
            connection.execute(KEY_BINDINGS.delete().where(KEY_BINDINGS.c.key_id == id))
        return before, replace(before, binding=None)

    def note_use(self, used_at: Mapping[str, float]) -> None:
        """When keys were used last, by their ids. No change that anybody has to hear of."""
        from app.database.tables import CLIENT_KEYS

        last = CLIENT_KEYS.c.last_used_at
        with self._database.write() as connection:
            for id, at in sorted(used_at.items()):
                is_older = last.is_(None) | (last < at)
                connection.execute(CLIENT_KEYS.update().where(CLIENT_KEYS.c.id == id, is_older).values(last_used_at=at))


def _all(connection: Connection) -> list[Key]:
    from sqlalchemy import true

    return _some(connection, true())


def _some(connection: Connection, which: ColumnElement[bool]) -> list[Key]:
    """The oldest first."""
    from app.database.tables import CLIENT_KEYS, KEY_BINDINGS

    both = CLIENT_KEYS.outerjoin(KEY_BINDINGS, KEY_BINDINGS.c.key_id == CLIENT_KEYS.c.id)
    wanted = (*CLIENT_KEYS.columns, *(KEY_BINDINGS.c[name] for name in _OF_BINDING))
    found = both.select().with_only_columns(*wanted).where(which).order_by(CLIENT_KEYS.c.created_at, CLIENT_KEYS.c.name)
    return [_key_of(row._mapping) for row in connection.execute(found)]


def _rivals(connection: Connection, key: Key) -> list[Key]:
    """Keys that are bound to the same account, and may not share it with this one."""
    assert key.binding is not None
    account = key.binding.account.casefold()
    return [
        one
        for one in _all(connection)
        if one.id != key.id
        and one.binding is not None
        and one.binding.account.casefold() == account
        and not may_share(one, key)
    ]


def _tell_all(connection: Connection) -> None:
    """Leave a mark of a change. Whoever does so waits for others that have done so, until they are through."""
    from sqlalchemy import text

    # No counter: after a restored backup it could come to a number that it has had before.
    connection.execute(
        text(
            "INSERT INTO bridge_notes (name, value) VALUES (:name, :value)"
            " ON CONFLICT (name) DO UPDATE SET value = :value"
        ),
        {"name": _VERSION, "value": float(secrets.randbelow(2**52))},
    )


def _row_of(key: Key) -> dict[str, Any]:
    limits = key.limits
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "digest": key.digest,
        "role": key.role,
        "owner": key.owner,
        "note": key.note,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "models": json.dumps(limits.models),
        "requests_per_minute": limits.requests_per_minute,
        "concurrent": limits.concurrent,
        "budgets": json.dumps([[budget.amount, budget.unit, budget.per] for budget in limits.budgets]),
    }


def _key_of(row: RowMapping) -> Key:
    limits = Limits(
        models=tuple(json.loads(row["models"])),
        requests_per_minute=row["requests_per_minute"],
        concurrent=row["concurrent"],
        budgets=tuple(Budget(*budget) for budget in json.loads(row["budgets"])),
    )
    binding = Binding(row["account"], row["bound_at"], bytes(row["sealed"])) if row["sealed"] is not None else None
    return Key(**{name: row[name] for name in _PLAIN}, limits=limits, binding=binding)
