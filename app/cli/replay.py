"""``replay FILE``: play a recorded call again, against the simulator, and see whether the same fault comes of it.

Nothing reaches the real services: the bridge and the simulator are made for this one call, and go with it.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
import requests
import sseclient
from flask import Flask
from werkzeug.utils import import_string

from app.bundles.bundle import FORMAT, outcome_told, unpacked
from app.cli.command import argument, command, option
from app.cli.demo import simulator
from app.cli.words import failure, say
from app.errors import Sentence
from app.reply import Ended
from app.settings import Settings, override

_MOST_BYTES: Final = 64 * 1024 * 1024
_API_KEY: Final = "test-replay"
_TOKEN: Final = "ghu_test_individual"  # noqa: S105 - one of the simulator's accounts
_SILENCE_S: Final = "2"
_LOCAL: Final = "127.0.0.1,localhost"
# A picture by its address would be fetched; what it showed is not in the bundle anyway.
_ADDRESS: Final = re.compile(rb'("(?:url|image_url)"\s*:\s*)"https?://[^"\\]*"')
_PIXEL: Final = b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGOoV1AAAAHhAMApleE7AAAAAElFTkSuQmCC"
_PICTURE: Final = b'"data:image/png;base64,' + _PIXEL + b'"'
_COMPARED: Final = ("status", "outcome", "error", "finish_reason", "dropped")


@command()
@argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@option("--events", is_flag=True, help="Show the events of the answer as well.")
def replay(file: Path, events: bool) -> None:
    """Play a recorded call again, against a simulator.

    Exits with 1 if it ends otherwise than it did when it was recorded.
    """
    bundle = _read(file)
    with tempfile.TemporaryDirectory(prefix="copilot-bridge-replay-") as name, simulator(Path(name)) as urls:
        _teach(urls["control"], bundle)
        outcome, answer = _played(Path(name), urls, bundle)
    if events:
        for event in sseclient.SSEClient(iter([answer])).events():
            click.echo(f"{event.event}: {event.data}")
    recorded = bundle["outcome"]
    differs = [name for name in _COMPARED if recorded.get(name) != outcome[name]]
    for name in _COMPARED:
        say(
            Sentence(
                "%(name)s recorded: %(recorded)s  replayed: %(replayed)s  (%(mark)s)",
                name=f"{name:14}",
                recorded=_shown(recorded.get(name)),
                replayed=_shown(outcome[name]),
                mark=Sentence("differs") if name in differs else Sentence("same"),
            )
        )
    if differs:
        raise failure(Sentence("The replay ends otherwise: %(names)s.", names=", ".join(differs)))
    say(Sentence("The same outcome."))


def _read(file: Path) -> dict[str, Any]:
    """The bundle. Raises: ClickException if it is none."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(Sentence("it is too large"))
        bundle = json.loads(file.read_bytes())
        if not isinstance(bundle, dict) or bundle.get("format") != FORMAT:
            raise ValueError(Sentence('its "format" is not %(format)s', format=repr(FORMAT)))
        unpacked(bundle["request"]["body"])
        for answer in bundle["answers"]:
            _fault(answer)
        if not isinstance(bundle["outcome"], dict) or not isinstance(bundle["request"]["path"], str):
            raise ValueError(Sentence("a part of it is of another form"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = error.args[0] if error.args and isinstance(error.args[0], Sentence) else str(error)
        raise failure(Sentence("%(file)s is no bundle of a recorded call: %(why)s", file=file, why=why)) from None
    return bundle


def _fault(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What the simulator has to do: one recorded answer."""
    where = {"endpoint": str(answer["path"]), "times": 1}
    if answer["status"] is None:
        return where | {"close": True}
    headers = {str(name): str(value) for name, value in answer["headers"].items()}
    return where | {
        "status": int(answer["status"]),
        "content_type": headers.pop("content-type", "text/plain"),
        "headers": headers,
        "pieces": [base64.b64encode(unpacked(piece)).decode() for piece in answer["pieces"]],
        "ending": {"cut": "cut", "silent": "silent"}.get(str(answer["end"]), "whole"),
    }


def _teach(control: str, bundle: Mapping[str, Any]) -> None:
    """The simulator learns of the model, and what to answer."""
    with requests.Session() as session:
        session.trust_env = False

        def tell(path: str, body: Mapping[str, Any]) -> None:
            answer = session.post(control + path, json=body, timeout=30)
            if answer.status_code != 200:
                raise failure(Sentence("The simulator cannot play this bundle: %(why)s", why=answer.text[:500]))

        entry = bundle["model"]["entry"]
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            shown = {"name": entry["id"], "policy": {"state": "enabled"}, "model_picker_enabled": True, **entry}
            tell("/config", {"catalogue": {"remove": [entry["id"]], "add": [shown]}})
        for answer in bundle["answers"]:
            tell("/faults", _fault(answer))
        if bundle["answers"]:
            tell("/faults", _fault(bundle["answers"][-1]) | {"times": None})


def _played(folder: Path, urls: Mapping[str, str], bundle: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """What became of the call this time, and the bytes of its answer."""
    asked, served = str(bundle["model"]["asked"]), str(bundle["model"]["served"])
    settings = {
        "API_KEY": _API_KEY,
        "DATA_DIR": str(folder / "data"),
        "COPILOT_CONFIG_DIR": str(folder / "no-editor"),
        "GITHUB_BASE_URL": urls["web"],
        "GITHUB_API_BASE_URL": urls["api"],
        "GH_COPILOT_TOKEN": _TOKEN,
        "MODEL_MAPPING": json.dumps({asked: served} if asked and served and asked != served else {}),
        "UPSTREAM_RETRIES": "0",  # what was repeated is not in the bundle
        "UPSTREAM_IDLE_TIMEOUT_S": _SILENCE_S,
        "WARM_UP": "false",
    }
    seen: list[Ended] = []
    override(dict.fromkeys(("NO_PROXY", "no_proxy"), _LOCAL))  # the simulator is here, whatever proxy leads out
    factory: Callable[[Settings], Flask] = import_string("app:create_app")
    app = factory(Settings.from_env(settings))
    gateway = app.extensions["gateway"]
    gateway.observers.append(seen.append)
    headers = {**bundle["request"]["headers"], "x-api-key": _API_KEY}
    headers.setdefault("content-type", "application/json")
    body = _ADDRESS.sub(rb"\1" + _PICTURE, unpacked(bundle["request"]["body"]))
    try:
        with app.test_client().post(bundle["request"]["path"], data=body, headers=headers) as response:
            answer = response.get_data()
    finally:
        gateway.close()
    if not seen:
        raise failure(Sentence("The bridge has not answered this request."))
    ended = seen[-1]
    return outcome_told(ended), answer


def _shown(value: Any) -> str:
    return (
        "-" if value is None or value == [] else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    )
