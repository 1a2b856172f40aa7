"""The tables, as they are after the last migration. Imported only by those who use the database.

Columns are Integer, BigInteger, Float, Text, Boolean or LargeBinary, which a backup can hold; times are epoch seconds
(Float), money is whole nano-credits (BigInteger). Each feature has a table or two here and a migration that makes them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA: Final = MetaData()

NOTES: Final = Table(
    # What the bridge itself has to remember about the database, by name.
    "bridge_notes",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Float, nullable=False),
)

_SUMS: Final = (
    *("calls", "failed_calls"),
    *("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("exact_nano", "estimated_nano", "calls_of_unknown_cost", "premium_milli"),
    *("first_bytes", "first_byte_ms", "duration_ms"),
)

CALLS: Final = Table(
    # One row for each call to a model (`app.ledger.booking.Booking`).
    "ledger_calls",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("ended_at", Float, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("request_id", "upstream_request_id")),
    *(Column(name, Text, nullable=False) for name in ("key", "account", "client", "dialect", "model", "served_model")),
    *(Column(name, Text, nullable=False) for name in ("upstream", "initiator", "purpose", "conversation")),
    Column("streamed", Boolean, nullable=False),
    *(Column(name, BigInteger) for name in ("input_tokens", "cached_input_tokens", "cache_write_tokens")),
    *(Column(name, BigInteger) for name in ("output_tokens", "reasoning_tokens", "nano_credits")),
    Column("is_estimated", Boolean, nullable=False),
    *(Column(name, BigInteger) for name in ("premium_milli", "first_byte_ms")),
    Column("duration_ms", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Index("ledger_calls_by_time", "ended_at"),
    # The sums are in a backup; millions of single calls would be of little use there.
    info={"in_backup": False},
)

DAYS: Final = Table(
    # The sums of a day (UTC): what reports are made of.
    "ledger_days",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("day", "key", "account", "client", "model")),
    *(Column(name, BigInteger, nullable=False) for name in _SUMS),
    Index("ledger_days_by_key", "key", "day"),
    Index("ledger_days_by_account", "account", "day"),
)

GROUPED_DAYS: Final = Table(
    # The same sums of a day by one word alone (`app.ledger.sums.WORDS`), and of all its calls, where both are empty. A
    # report of a year by model reads some thousand rows here, and in `DAYS` as many as there were calls, at worst.
    "ledger_grouped_days",
    METADATA,
    *(Column(name, Text, primary_key=True) for name in ("word", "day", "name")),
    *(Column(name, BigInteger, nullable=False) for name in _SUMS),
    sqlite_with_rowid=False,
)

BASELINES: Final = Table(
    # What GitHub said an account had used of a billing period when it was asked first, and what was booked by then.
    "ledger_baselines",
    METADATA,
    Column("account", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("seen_at", Float, nullable=False),
    Column("used_nano", BigInteger, nullable=False),
    Column("booked_nano", BigInteger, nullable=False),
)

STORED_RESPONSES: Final = Table(
    # Answers that later requests go on from, sealed. owner: the key that made it. handle: by which its id is known;
    # previous: of the answer before it. size: bytes of `sealed`.
    "bridge_stored_responses",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("handle", Text, primary_key=True),
    Column("previous", Text),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("bridge_stored_responses_expire", "expires_at"),
    Index("bridge_stored_responses_age", "created_at"),
    info={"in_backup": False},
)

CLIENT_KEYS: Final = Table(
    # models, budgets: JSON. See `app.keys.key`.
    "client_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("prefix", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("last_used_at", Float),
    Column("models", Text, nullable=False),
    Column("requests_per_minute", Integer),
    Column("concurrent", Integer),
    Column("budgets", Text, nullable=False),
)

KEY_BINDINGS: Final = Table(
    # The GitHub account that a key's calls go by, if it is not the bridge's own. account: its login; sealed: the token
    # of its sign-in.
    "key_bindings",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("bound_at", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)

KEY_SPENDING: Final = Table(
    # What a key has used of a budget, in the period that began then.
    "key_spending",
    METADATA,
    Column("key_id", Text, primary_key=True),
    Column("unit", Text, primary_key=True),
    Column("per", Text, primary_key=True),
    Column("begins", Float, primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

KEY_CALLS: Final = Table(
    # Calls in progress of keys that have such limits, with what is reserved for each. A call of a worker that died is
    # taken for ended when nobody has renewed it; so is one that a backup holds (`app.database.contents`).
    "key_calls",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("alive_until", Float, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("premium_requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    # As how many answers in progress it counts.
    Column("slots", Integer, nullable=False, server_default="1"),
    Index("key_calls_key_id", "key_id"),
)
