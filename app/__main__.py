"""``python -m app``: the command ``copilot-bridge``, also where it is not installed."""

from app.cli.main import NAME, main

if __name__ == "__main__":
    main(prog_name=NAME)
