"""All clients that the bridge can set up, by the name they have on the command line and in the page's address."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app.clients import (
    aider,
    cherry_studio,
    claude_code,
    cline,
    codex,
    continue_dev,
    cursor,
    llm,
    opencode,
    pi,
    qwen_code,
    sdks,
)
from app.clients.models import select
from app.clients.record import ConfigFile, Facts, Platform, Setup
from app.routing import Model

MOVED_BY: Mapping[str, str] = {
    "CLAUDE_CONFIG_DIR": ".claude",
    "CODEX_HOME": ".codex",
    "XDG_CONFIG_HOME": ".config",
    "LLM_USER_PATH": ".config/io.datasette.llm",
    "CONTINUE_GLOBAL_DIR": ".continue",
    "QWEN_HOME": ".qwen",
    "CLINE_DIR": ".cline",
    "CLINE_DATA_DIR": ".cline/data",
    "PI_CODING_AGENT_DIR": ".pi/agent",
}
"""Variables with which people move a client's folder, and the folder below the home folder that they move."""

CLIENTS: Mapping[str, Callable[[Facts], Setup]] = {
    "claude-code": claude_code.setup,
    "codex": codex.setup,
    "opencode": opencode.setup,
    "cursor": cursor.setup,
    "cherry-studio": cherry_studio.setup,
    "aider": aider.setup,
    "qwen-code": qwen_code.setup,
    "continue": continue_dev.setup,
    "cline": cline.setup,
    "pi": pi.setup,
    "llm": llm.setup,
    "openai-python": sdks.openai_python,
    "openai-node": sdks.openai_node,
    "anthropic-python": sdks.anthropic_python,
    "anthropic-node": sdks.anthropic_node,
}

_ANY_MODEL = {
    "id": "any",
    "supported_endpoints": ["/chat/completions"],
    "model_picker_enabled": True,
    "capabilities": {"type": "chat", "limits": {"max_prompt_tokens": 1, "max_output_tokens": 1}},
}


def _setup_of_any(client: str, platform: Platform = "linux") -> Setup:
    model = Model.parse(_ANY_MODEL)
    assert model is not None
    return CLIENTS[client](Facts("http://localhost", "", select([model]), platform))


def files_of(client: str, platform: Platform = "linux") -> tuple[ConfigFile, ...]:
    """The files that its setup may have, whatever the models are; not what stands in them."""
    return _setup_of_any(client, platform).files


STARTABLE: Mapping[str, tuple[str, str]] = {
    name: (setup.once.program, setup.home_page)
    for name, setup in ((name, _setup_of_any(name)) for name in CLIENTS)
    if setup.once is not None
}
"""The programs of the terminal, which can be started for one time: what each is called, and where it comes from."""
