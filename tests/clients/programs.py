"""How each client is asked one thing without a terminal. A client added here is met by `test_silence.py` as well."""

from __future__ import annotations

from tests.clients.desk import Client, Desk


def _claude(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    chosen = ["--model", model] if model else []
    # stream-json tells every event; permission prompts cannot be answered here.
    shown = ["--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits"]
    return ["claude", "-p", prompt, *chosen, *shown, *more]


def _codex(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    chosen = ["--model", model] if model else []
    # The sandbox of Codex needs kernel features that a container may lack; the folder is a throw-away one anyway.
    free = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return ["codex", "exec", "--json", *free, *chosen, *more, prompt]


def _opencode(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    """model: ``provider/model``, as in its list."""
    chosen = ["--model", model] if model else []
    # It puts quotes around an argument with spaces, and these into the prompt; so the words come one by one.
    return ["opencode", "run", "--format", "json", "--auto", *chosen, *more, *prompt.split(" ")]


def _qwen(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    chosen = ["--model", model] if model else []
    return ["qwen", "--output-format", "stream-json", "--yolo", *chosen, *more, prompt]


def _cline(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    chosen = ["--model", model] if model else []
    return ["cline", "--json", *chosen, *more, prompt]


def _continue(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    """It takes the first model of its file and has no option for another one of them."""
    return ["cn", "--auto", "--print", *more, prompt]


def _pi(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    """model: ``provider/model``, as in its list."""
    chosen = ["--model", model] if model else []
    return ["pi", "--mode", "json", *chosen, *more, "--print", prompt]


def _aider(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    """model: with the prefix ``openai/``, as in its settings."""
    chosen = ["--model", model] if model else []
    # It would ask the package index for a newer self and report to its makers.
    alone = ["--no-check-update", "--analytics-disable", "--no-show-release-notes"]
    return ["aider", "--yes-always", "--no-git", *alone, *chosen, *more, "--message", prompt]


def _llm(desk: Desk, prompt: str, model: str | None, *more: str) -> list[str]:
    """Its default would be a model of OpenAI's own, which the settings leave as it is."""
    return ["llm", "prompt", "--model", model or "copilot/gpt-4.1", *more, prompt]


CLAUDE_CODE = Client("claude-code", "claude-code", _claude)
CODEX = Client("codex", "codex", _codex)
# It would fetch a list of all vendors' models, and wait for it.
OPENCODE = Client("opencode", "opencode", _opencode, {"OPENCODE_DISABLE_MODELS_FETCH": "1"})
QWEN_CODE = Client("qwen-code", "qwen-code", _qwen)
CLINE = Client("cline", "cline", _cline, {"CLINE_NO_AUTO_UPDATE": "1"})
CONTINUE = Client("continue", "continue", _continue, {"CONTINUE_METRICS_ENABLED": "0"})
# It would look for a newer version of itself.
PI = Client("pi", "pi", _pi, {"PI_OFFLINE": "1"})
# LiteLLM, which is inside, would fetch a price list.
AIDER = Client("aider", "aider", _aider, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"})
LLM = Client("llm", "llm", _llm)

CLIENTS = {client.name: client for client in (CLAUDE_CODE, CODEX, OPENCODE, QWEN_CODE, CLINE, CONTINUE, PI, AIDER, LLM)}
