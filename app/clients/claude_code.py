"""Claude Code (``@anthropic-ai/claude-code``): variables in ``~/.claude/settings.json``, or exported in the shell."""

from __future__ import annotations

from app.clients.record import ConfigFile, Facts, Once, Setup, Words

_ASSUMED_WINDOW = 200_000
_SMALLEST_WINDOW = 100_000  # it takes no less


def setup(facts: Facts) -> Setup:
    models = facts.models
    variables = {
        "ANTHROPIC_BASE_URL": facts.url,
        "ANTHROPIC_AUTH_TOKEN": facts.key,
        "ANTHROPIC_MODEL": models.main.id,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": models.of_size("opus").id,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": models.of_size("sonnet").id,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": models.of_size("haiku").id,
        # A size of its own that Copilot may not have; without this its entry in /model would lead nowhere.
        "ANTHROPIC_DEFAULT_FABLE_MODEL": models.of_size("opus").id,
        # /model then lists what GET /v1/models tells.
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
        # Its requests then say what they are for, so that compaction and the like are not taken for a person's turn.
        "CLAUDE_CODE_GATEWAY_HINT_HEADERS": "1",
        # No telemetry, update checks and error reports to Anthropic: there is no account there.
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    if models.has_claude and not models.responses.is_claude:
        # Of models by other makers, /model offers this one alone.
        variables["ANTHROPIC_CUSTOM_MODEL_OPTION"] = models.responses.id
        variables["ANTHROPIC_CUSTOM_MODEL_OPTION_NAME"] = models.responses.name
        variables["ANTHROPIC_CUSTOM_MODEL_OPTION_DESCRIPTION"] = "Through GitHub Copilot"
    if models.main.window and _SMALLEST_WINDOW <= models.main.window < _ASSUMED_WINDOW:
        # Claude Code reckons with 200 000 tokens and would compact too late for Copilot's prompt limit.
        variables["CLAUDE_CODE_AUTO_COMPACT_WINDOW"] = str(models.main.window)
    notes = [
        Words(
            "If Claude Code is logged in to claude.ai as well, run /logout there: two sign-ins do not go together.",
            "如果 Claude Code 提示同时登录了 claude.ai，请在其中运行 /logout，两种登录不要并存。",
        )
    ]
    if not models.has_claude:
        notes.insert(
            0,
            Words(
                f"Your account has no Claude model, so Claude Code will work with {models.main.id}. That works, but it "
                "is written for Claude.",
                f"你的账户没有 Claude 模型，Claude Code 将使用 {models.main.id}。可以工作，但它是为 Claude 设计的。",
            ),
        )
    return Setup(
        name="claude-code",
        title="Claude Code",
        home_page="https://code.claude.com/docs",
        files=(ConfigFile(".claude/settings.json", "json", {"env": variables}),),
        exports=variables,
        run="claude",
        once=Once("claude", variables),
        notes=tuple(notes),
    )
