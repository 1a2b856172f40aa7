"""What each client is given: the whole text as a golden file, and what must hold for every client and catalogue.

After a change that is meant: ``pytest tests/unit/clients/test_setups.py --update-golden``, and read the difference.
"""

from __future__ import annotations

import ast
import base64
import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from app.clients import llm, opencode
from app.clients.cherry_studio import import_link
from app.clients.files.merge import render
from app.clients.models import select
from app.clients.record import ConfigFile, Facts, Setup
from app.clients.registry import CLIENTS
from app.clients.text import PLACEHOLDER, as_text, hides_key
from app.routing import Model
from tests.support.rows import rows
from tests.unit.clients.models import model, observed

GOLDENS = Path(__file__).parents[2] / "fixtures" / "setups"
URL = "http://bridge.test:8000"
KEY = "test-bridge-key"

CATALOGUES: dict[str, list[Model]] = {
    "observed": observed(),
    "no_claude": [model("gpt-5.4"), model("gpt-5-mini")],
    "only_claude": [model("claude-sonnet-4.6")],
    "one_hidden_without_limits": [model("x-1", model_picker_enabled=False, supported_endpoints=["/chat/completions"])],
}


def facts(catalogue: str = "observed", **changes: Any) -> Facts:
    return Facts(**{"url": URL, "key": KEY, "models": select(CATALOGUES[catalogue]), **changes})


def read(file: ConfigFile) -> Any:
    text = render(file)
    if file.format == "json":
        return json.loads(text)
    if file.format == "toml":
        return tomllib.loads(text)
    if file.format == "yaml":
        return YAML(typ="safe", pure=True).load(text)
    return dict(line.split("=", 1) for line in text.splitlines())


def only_file(setup: Setup) -> Any:
    (file,) = setup.files
    return read(file)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_whole_text(client: str, language: str, updates_golden: bool) -> None:
    text = as_text(CLIENTS[client](facts(key=PLACEHOLDER)), "zh" if language == "zh" else "en")
    golden = GOLDENS / f"{client}.{language}.txt"
    if updates_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8")


@pytest.mark.parametrize("document", ["clients.md", "clients.zh-CN.md"])
def test_every_program_has_a_section_in_the_documents(document: str) -> None:
    text = (Path(__file__).parents[3] / "docs" / document).read_text("utf-8")
    titles = {CLIENTS[client](facts()).title for client in CLIENTS}
    programs = {title for title in titles if " SDK " not in title}
    assert programs - set(re.findall(r"^### (.+)$", text, re.MULTILINE)) == set()


def test_no_golden_is_left_over() -> None:
    assert {file.name for file in GOLDENS.iterdir()} == {
        f"{name}.{lang}.txt" for name in CLIENTS for lang in ("en", "zh")
    }


@rows()
@pytest.mark.parametrize("catalogue", CATALOGUES)
@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_with_every_catalogue(client: str, catalogue: str) -> None:
    setup = CLIENTS[client](facts(catalogue))
    assert setup.name == client
    assert setup.files or setup.steps or setup.snippets
    whole = as_text(setup, "en")
    assert URL in whole
    assert any(offered.id in whole for offered in facts(catalogue).models.listed)
    for file in setup.files:
        assert read(file), "no file is empty"
        assert (KEY in render(file)) == file.secret, "who holds the key is known, for the sake of its mode"
    assert "None" not in whole
    assert not hides_key(setup)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_hidden_key_is_nowhere(client: str) -> None:
    setup = CLIENTS[client](facts(key=PLACEHOLDER))
    assert KEY not in repr(setup)
    assert hides_key(setup) or "$COPILOT_BRIDGE_KEY" in as_text(setup, "en")
    assert "cherrystudio://" not in as_text(setup, "en"), "an import link without the key is of no use"


@pytest.mark.parametrize("client", CLIENTS)
def test_chinese_texts_are_chinese(client: str) -> None:
    setup = CLIENTS[client](facts())
    for words in (*setup.steps, *setup.notes):
        said = words.zh.replace(KEY, "").replace(URL, "")
        assert any("\u4e00" <= letter <= "\u9fff" or letter in "：" for letter in said), said


def test_claude_code_without_claude_says_so() -> None:
    setup = CLIENTS["claude-code"](facts("no_claude"))
    variables = only_file(setup)["env"]
    assert variables["ANTHROPIC_MODEL"] == "gpt-5.4"
    assert variables["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "gpt-5-mini"
    assert "no Claude model" in setup.notes[0].en
    assert setup.exports == variables


@pytest.mark.parametrize(
    ("prompt", "window"), [(168_000, "168000"), (200_000, None), (900_000, None), (64_000, None), (None, None)]
)
def test_claude_code_compacts_in_time(prompt: int | None, window: str | None) -> None:
    """It reckons with 200 000 tokens, and takes no less than 100 000 as a limit."""
    limits = {"max_prompt_tokens": prompt} if prompt else {}
    found = select([model("claude-sonnet-4.6", capabilities={"type": "chat", "limits": limits})])
    variables = only_file(CLIENTS["claude-code"](facts(models=found)))["env"]
    assert variables.get("CLAUDE_CODE_AUTO_COMPACT_WINDOW") == window


def test_codex_gets_a_key_from_beside_its_settings() -> None:
    config, key = CLIENTS["codex"](facts()).files
    assert read(config)["model_providers"]["copilot-bridge"]["env_key"] in read(key)


def test_opencode_serves_each_model_in_its_own_protocol() -> None:
    config = only_file(opencode.setup(facts()))
    where = {name: provider for provider, block in config["provider"].items() for name in block["models"]}
    assert where["claude-opus-4.6"] == "copilot-bridge-messages"
    assert where["gpt-5.3-codex"] == "copilot-bridge-responses"
    assert where["gpt-4.1"] == "copilot-bridge"
    for reference in (config["model"], config["small_model"]):
        provider, name = reference.split("/")
        assert where[name] == provider


def test_limits_are_copilots_in_the_reckoning_of_each_client() -> None:
    """400 000 tokens in all, of which a prompt may have 272 000 and an answer 128 000."""
    name = "gpt-5.3-codex"
    limit = only_file(opencode.setup(facts()))["provider"]["copilot-bridge-responses"]["models"][name]["limit"]
    assert limit == {"context": 400000, "input": 272000, "output": 128000}
    models = read(CLIENTS["pi"](facts()).files[0])["providers"]["copilot-bridge-responses"]["models"]
    assert [(m["contextWindow"], m["maxTokens"]) for m in models if m["id"] == name] == [(272000, 128000)]
    entries = only_file(CLIENTS["continue"](facts()))["models"]
    (options,) = (m["defaultCompletionOptions"] for m in entries if m["model"] == name)
    assert options["contextLength"] - options["maxTokens"] == 272000
    sizes: Mapping[str, Any] = read(CLIENTS["aider"](facts()).files[1])
    assert sizes[f"openai/{name}"]["max_input_tokens"] == 272000


def test_llm_keeps_its_files_where_the_system_wants_them() -> None:
    folders = {
        "linux": ".config/io.datasette.llm",
        "darwin": "Library/Application Support/io.datasette.llm",
        "win32": "AppData/Roaming/io.datasette.llm",
    }
    for platform, folder in folders.items():
        assert {file.path.rsplit("/", 1)[0] for file in llm.setup(facts(platform=platform)).files} == {folder}


@pytest.mark.parametrize("key", ["test-key", "test???>>>key~~", "k" * 50])
def test_cherry_studio_decodes_its_link(key: str) -> None:
    """Read as its providersImport.ts does: _ is +, - is /."""
    link = import_link(facts(key=key))
    assert link.startswith("cherrystudio://providers/api-keys?v=1&data=")
    data = link.split("data=")[1]
    assert not set(data) & set("+/=%")
    padded = data.replace("_", "+").replace("-", "/") + "=" * (-len(data) % 4)
    assert json.loads(base64.b64decode(padded, validate=True)) == {
        "id": "copilot-bridge",
        "baseUrl": URL,
        "apiKey": key,
        "name": "copilot-bridge",
        "type": "openai",
    }


@pytest.mark.parametrize("client", ["openai-python", "anthropic-python"])
def test_python_code_is_python(client: str) -> None:
    for snippet in CLIENTS[client](facts()).snippets:
        compile(snippet.code, client, "exec")


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_qwen_code_begins_with_the_chosen_model(catalogue: str) -> None:
    """For a name that it does not know it takes the first of the list: not the dearest by accident."""
    settings = CLIENTS["qwen-code"](facts(catalogue)).files[0].tree
    assert isinstance(settings, dict)
    assert settings["modelProviders"]["openai"].items[0]["id"] == settings["model"]["name"]


def test_a_strange_name_stays_a_text_in_code_and_commands() -> None:
    """Names come from a list that others keep; what is shown to be copied must not run anything by them."""
    name = "x\"; import os; os.abort() #$(id)`id`'\n"
    strange = Facts("http://a'b", "k'e(y)", select([model(name, supported_endpoints=["/chat/completions"])]))
    for client in ("openai-python", "anthropic-python"):
        for snippet in CLIENTS[client](strange).snippets:
            texts = [node.value for node in ast.walk(ast.parse(snippet.code)) if isinstance(node, ast.Constant)]
            assert any(isinstance(text, str) and text.endswith(name) for text in texts)
    for client in ("openai-node", "anthropic-node"):
        for snippet in CLIENTS[client](strange).snippets:
            assert json.dumps(name) in snippet.code
    run = CLIENTS["llm"](strange).run
    assert run is not None
    assert shlex.split(run) == ["llm", "-m", f"copilot/{name}", "Say hello"]
    assert CLIENTS["cherry-studio"](strange).link is None, "it would be changed on its way"
