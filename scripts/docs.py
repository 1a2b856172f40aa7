"""``make docs``: put the tables that the code knows best into the documents that hold them."""

# ruff: noqa: T201

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app import create_app  # noqa: E402
from app.settings import Settings  # noqa: E402
from tests.simulator import knobs  # noqa: E402

COMMANDS = {"docs/configuration.md": ["settings", "--markdown"], "docs/protocols.md": ["protocols"]}
"""Document → the command that prints its tables; they stand between marks with the command's name."""


def main() -> None:
    runner = create_app(Settings.from_env({})).test_cli_runner()
    for document, command in COMMANDS.items():
        replace(document, command[0], runner.invoke(args=command).output.strip())
    replace("tests/simulator/README.md", "knobs", knobs.markdown_table())


def replace(document: str, name: str, table: str) -> None:
    """Put `table` between the marks ``<!-- name -->`` and ``<!-- /name -->``."""
    file = ROOT / document
    before = file.read_text("utf-8")
    start, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
    head, rest = before.split(start)
    _, tail = rest.split(end)
    after = head + start + table + end + tail
    file.write_text(after, "utf-8")
    print(f"{document}: {'changed' if after != before else 'up to date'}")


if __name__ == "__main__":
    main()
