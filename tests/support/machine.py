"""What the tests use of this machine beside Python, and what is missing without it; ``.ci/run`` installs all of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from tests.support.postgres_server import postgres_program


@dataclass(frozen=True, slots=True)
class Need:
    """names: programs, one of which is enough. package: Debian's name for it. lost: what is not tested without it."""

    names: tuple[str, ...]
    package: str
    lost: str

    @property
    def is_there(self) -> bool:
        # nginx lives where ordinary users do not look, and PostgreSQL's server in a folder of its version.
        found = (shutil.which(name) or shutil.which(name, path="/usr/sbin") for name in self.names)
        return any(found) or any(postgres_program(name) for name in self.names)


NEEDS = (
    Need(("chromium", "google-chrome"), "chromium", "the pages in a browser"),
    Need(("nginx",), "nginx-light", "the way through a proxy"),
    Need(("systemd-analyze",), "systemd", "how closed the systemd unit is"),
    Need(("redis-server",), "redis-server", "the store in Redis"),
    Need(("initdb",), "postgresql", "the database on a server"),
    Need(("node",), "nodejs", "the official Node SDKs"),
    Need(("npm",), "npm", "the official Node SDKs"),
    Need(("curl",), "curl", "the commands of the documents"),
    Need(("openssl",), "openssl", "what doctor says of TLS"),
)


def report() -> list[str]:
    """Lines that say beforehand how long the tests take, what they use and what of it is missing."""
    there = [need.package for need in NEEDS if need.is_there]
    return [
        "all take ten to twenty minutes of CPU time, half of that on two cores; some: make test ARGS='-k mapping'",
        f"they use of this machine: {', '.join(there) or 'nothing'}; ports of 127.0.0.1, and no network beyond",
        *(
            f"missing: {need.package}, so {need.lost} will be skipped or fail (bash .ci/run installs it)"
            for need in NEEDS
            if not need.is_there
        ),
    ]
