"""``make docs``: put the generated tables into docs/configuration.md and docs/protocols.md."""

# ruff: noqa: T201

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from app import create_app  # noqa: E402
from app.settings import Settings  # noqa: E402

TABLES = {"configuration.md": ["settings", "--markdown"], "protocols.md": ["protocols"]}


def main() -> None:
    runner = create_app(Settings.from_env({})).test_cli_runner()
    for name, command in TABLES.items():
        file = ROOT / "docs" / name
        table = runner.invoke(args=command).output.strip()
        mark = re.compile(rf"(<!-- {command[0]} -->\n).*?(<!-- /{command[0]} -->)", re.DOTALL)
        before = file.read_text("utf-8")
        after = mark.sub(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", before)
        file.write_text(after, "utf-8")
        print(f"{name}: {'changed' if after != before else 'up to date'}")


if __name__ == "__main__":
    main()
