"""Every switch of the simulator, its default and its meaning (the README table is this table)."""

from collections import ChainMap
from typing import Any

#: name -> (default, what it does). "vendor" means: whatever the model's vendor really does.
KNOBS: dict[str, tuple[Any, str]] = {
    # -- sign-in and tokens (contract §1, §2) ------------------------------------------------------------------------
    "device_interval_s": (5, "minimum seconds between two device polls, as told to the client"),
    "device_expires_in_s": (899, "lifetime of a device code"),
    "device_auto_approve_after_s": (None, "approve a device code by itself n seconds after its first poll"),
    "device_flow_disabled": (False, "device code requests answer 200 `device_flow_disabled`"),
    "device_account": ("ghu_test_individual", "account whose plan a freshly minted device-flow token copies"),
    "known_client_ids": (
        ["Iv1.b507a08c87ecfe98", "Ov23li8tweQw6odWQebz", "178c6fc778ccc68e1d6a"],
        'client ids that exist; others get 404 (a `["*"]` accepts all)',
    ),
    "verification_uri": (None, "override of the URL the user is sent to (default: the web port)"),
    "require_user_agent": (True, "REST answers 403 to requests without a User-Agent"),
    "token_lifetime_s": (1800, "lifetime of a Copilot token"),
    "refresh_in_s": (1500, "`refresh_in` of the token envelope"),
    "clock_skew_s": (0, "shift of the server clock: Date header, `expires_at`, `exp=`"),
    "envelope_minimal": (False, "envelope with only `token`, `expires_at`, `refresh_in`"),
    "envelope_extra": ({}, "fields merged over the token envelope (null values included)"),
    "user_notification": (None, "`user_notification` object put into the token envelope"),
    "dead_token_status": (401, "status of a dead Copilot token: 401 `token expired`, or 403 plain `forbidden`"),
    # -- GitHub Apps (contract §1.10) ------------------------------------------------------------------------------
    "app_ids": (["123456", "Iv23test"], "id and client id of the App"),
    "app_public_key": (None, "public key of the App (PEM); without it every signature is refused"),
    "app_installation": (12345678, "number of its installation"),
    "app_repositories": ([123456789], "repositories of the installation"),
    "app_permission_form": ("organization", "what *Copilot Requests* is: `organization` or `repository`"),
    "app_has_permission": (True, "whether the installation accepted that permission"),
    "installation_token_lifetime_s": (3600, "lifetime of an installation token"),
    "installation_exchange": (True, "exchange of installation tokens: `false`: 404, `empty`: 200 without a token"),
    "organization_allows_apps": (True, "`401` or `403`: Copilot is refused to installation tokens so"),
    # -- CAPI headers and routing (contract §5, §11) -----------------------------------------------------------------
    "min_editor_version": (None, "466 below this `Editor-Version` number, e.g. `1.100.0`"),
    "integrations": (
        ["vscode-chat", "code-oss", "jetbrains-chat", "xcode-chat"],
        "integration ids accepted with an exchanged token (others: 403)",
    ),
    "raw_integrations": (
        ["copilot-developer-cli", "vscode-chat", "agentic-workflows"],
        "integration ids accepted with a GitHub token used directly (others: 403)",
    ),
    "check_scheme": (True, "400 for the wrong scheme of `Authorization` for host and kind of token"),
    "integration_hidden": (
        {"xcode-chat": ["claude-opus-4.6"], "copilot-language-server": ["gpt-5.4"]},
        "models not released to an integration id",
    ),
    "generic_accepts_business": (False, "generic host accepts business tokens instead of 421"),
    "quota_total": (True, "quota headers tell the absolute rest as well (`totRem`)"),
    "quota_headers_on_402": (False, "a 402 carries the quota headers"),
    "ping_status": (200, "status of `GET /_ping`"),
    "body_limit_bytes": (4_000_000, "larger request bodies answer 413"),
    "body_limit_style": ("text", "`text` or `json` form of the 413"),
    "usage_session_used": (0.0, "percent of the rolling 5-hour window used; headers appear above 50"),
    "usage_weekly_used": (0.0, "percent of the weekly window used; headers appear above 50"),
    # -- accounts (contract §1.6, §3) -------------------------------------------------------------------------------
    "most_sign_ins": (10, "valid device-flow tokens of one app; one more revokes the oldest"),
    "user_info_without": ([], "fields missing from `/copilot_internal/user`, dotted: `quota_snapshots.chat`"),
    # -- catalogue (contract §4) ------------------------------------------------------------------------------------
    "catalogue": (None, 'changes: `{"add": [...], "remove": [id], "patch": {id: {...}}}`; applied at once'),
    "legacy_catalogue": (True, "a GitHub token used directly without an API version sees old models only"),
    "list_restricted": (True, "list models the plan may not call (with their `restricted_to`)"),
    "unsupported_api_variant": ("current", "`current`, `august` or `no_endpoints` form of the wrong-endpoint error"),
    # -- images (contract §14.1) -------------------------------------------------------------------------------------
    "image_streams": (False, "take `stream: true` for images, with partial ones"),
    # -- auto mode (contract §4.7, §4.9) ------------------------------------------------------------------------------
    "auto": ("offered", "`POST /auto`: `offered`, `absent` (404), `unavailable` (503), `html`, `slow`"),
    "auto_model": (None, "the model that it picks (null: by tier)"),
    "auto_lifetime_s": (86400, "lifetime of its session token"),
    "auto_delay_s": (6.0, "how long `slow` takes"),
    "auto_session": (True, "whether the older `POST /models/session` is offered"),
    # -- chat: request checks (contract §6.1, §6.2) ------------------------------------------------------------------
    "reject_fields": (["store", "service_tier", "metadata"], "request fields refused with `unsupported_value`"),
    "reject_max_tokens": ([], "model ids that want `max_completion_tokens`"),
    "reject_required_tool_choice": (False, "400 on `tool_choice: required`"),
    "strict_messages": ("vendor", "refuse unknown message fields (`vendor`: Claude only)"),
    "check_opaque": (True, "400 when an echoed `reasoning_opaque` or thinking signature was not issued to this vendor"),
    # -- every conversational endpoint -----------------------------------------------------------------------------
    "external_images": (False, "take images by `https` URL, in chat and at `/responses`"),
    "cached_tokens": (0, "prompt tokens reported as read from the cache (as far as the prompt goes)"),
    "cache_write_tokens": (0, "prompt tokens reported as written to the cache (`/v1/messages`)"),
    "reasoning_tokens": (None, "reasoning tokens reported, whatever was thought"),
    "think_unasked": (False, "native protocols show reasoning although `reasoning.summary` or `thinking` is missing"),
    "native_copilot_usage": ("beside", "`copilot_usage` of native answers: `beside`, `inside` (the response), `off`"),
    "check_output_limit": (True, "native protocols: 400 above the model's `max_output_tokens`"),
    # -- responses (contract §7, §13.7) ------------------------------------------------------------------------------
    "responses_reject": (
        ["store", "previous_response_id", "service_tier", "background", "stream_options", "conversation", "prompt"],
        "fields refused with `unsupported_value`",
    ),
    "strict_responses": (True, "400 `Unknown parameter` for unknown fields"),
    "responses_sampling": (False, "accept `temperature` and `top_p` other than 1"),
    "responses_tools": (
        ["function", "custom", "web_search", "web_search_preview", "namespace", "tool_search"],
        "accepted tool types, as far as the model takes them; others: `shell` …",
    ),
    "responses_by_model": (
        {"mai-code-1-flash-internal": {"custom": 500}},
        "per model: types of tools and items, `true` for taken, else the status of the refusal",
    ),
    "strict_schemas": (True, "check function schemas, and the closed form that `strict: true` wants"),
    "medium_verbosity_only": (
        ["gpt-5.1-codex", "gpt-5.1-codex-mini", "gpt-5.1-codex-max"],
        "models that take no other `text.verbosity`",
    ),
    "sane_ids": (False, "short ids, the same ones in every event"),
    "check_item_ids": (True, "400 for item ids that were not issued to this account"),
    "stale_item_ids": (False, "issued item ids are refused as well"),
    "stale_item_status": (400, "status of that refusal (401 was seen too)"),
    "check_encrypted_content": (True, "encrypted content must come with its own id or none, from its own account"),
    "encrypted_content_code": ("invalid_request_body", "code of the mismatch; also `invalid_encrypted_content`"),
    "reasoning_summary": ("events", "`events`, `done_only` (in the done item only) or `none`"),
    "phase": ("vendor", "`phase` on messages and calls (vendor: messages of gpt-5.2 and later)"),
    "obfuscation": ("vendor", "`obfuscation` in deltas (vendor: with integration id `vscode-chat`)"),
    "ciphertext_arguments": (False, "argument deltas are ciphertext, `.done` has the plain text"),
    "missing_event_type": (False, "events without `type` in their data"),
    "missing_logprobs": (False, "no `logprobs`"),
    "responses_error": ("flat", "errors inside the stream: `flat`, `nested` or `failed` (`response.failed`)"),
    # -- web search through the MCP endpoint (contract §14.2) --------------------------------------------------------
    "mcp": (
        "json",
        "form of its answers, `json` or `sse`; or `session` (wants a greeting), `absent` (404), `forbidden` (403), "
        "`quota` (429), `error` (of JSON-RPC), `failed` (of the tool)",
    ),
    # -- messages (contract §8, §13.8) -------------------------------------------------------------------------------
    "accepted_betas": (
        [
            "claude-code-",
            "oauth-",
            "effort-",
            "interleaved-thinking-",
            "context-management-",
            "advanced-tool-use-",
            "prompt-caching-",
            "token-efficient-tools-",
            "task-budgets-",
            "structured-outputs-",
            "fine-grained-tool-streaming-",
            "extended-cache-ttl-",
        ],
        "prefixes of accepted `anthropic-beta` values; all others are refused",
    ),
    "beta_strictness": ("list", "other betas: `list` (by `accepted_betas`), `exact` (a few names), `ignore`"),
    "messages_extra_fields": ([], "top-level fields accepted besides the usual ones"),
    "output_format": (False, "accept the old `output_format` with its beta"),
    "backend_error_form": ("anthropic", "backend errors: `anthropic`, `with_request_id`, `message` (bare)"),
    "too_long_form": ("gateway", "prompt too long: `gateway` or `backend` form"),
    "check_non_stream_limit": (True, "400 above `max_non_streaming_output_tokens` without streaming"),
    "cache_ttl": (True, "accept `cache_control.ttl` of models that have a price for it (others: never)"),
    "most_images": (20, "images in one request"),
    "source_urls": (False, "accept images and documents by URL"),
    "text_documents": (False, "accept documents of text"),
    "client_tools": ([], "accepted typed tools, e.g. `bash_20250124`"),
    "refuse_schema_key": (True, "400 for `$schema` in an `input_schema`"),
    "prefill": ("vendor", "accept a trailing assistant message (vendor: before Claude 4.5)"),
    "thinking_first": (True, "`thinking: enabled` in a tool round wants a thinking block first"),
    "thinking_form": ("text", "`text`, `hidden` (signature only) or `redacted`"),
    "ping": (True, "`ping` after the first block has begun"),
    "bedrock_metrics": (True, "`amazon-bedrock-invocationMetrics` in `message_stop`"),
    "messages_done": (True, "`data: [DONE]` after `message_stop`"),
    "newer_usage": (False, "`usage` with `cache_creation` and `output_tokens_details`"),
    # -- chat: answers (contract §6.3–§6.5) ------------------------------------------------------------------------
    "dialect": (None, "force `openai-current`, `openai-2024`, `claude` or `gemini` whatever the vendor"),
    "usage_mode": ("vendor", "`separate`, `on_finish`, `none` or `own_frame_copilot_usage`"),
    "copilot_usage": ("usage", "where `copilot_usage` goes in chat: `finish`, `usage`, `own_frame` or `off`"),
    "leading_filter_chunk": ("vendor", "leading empty-choices chunk (OpenAI dialects)"),
    "older_filter_chunk": (False, "the older form of the leading chunk"),
    "multi_choice": ("vendor", "`off`, `same_index`, `other_index`; vendor: Claude spreads non-stream answers"),
    "parallel_same_index": ("vendor", "parallel streamed tool calls all with index 0 (vendor: Claude)"),
    "missing_arguments_key": ("vendor", "first tool delta without `arguments` (vendor: Claude)"),
    "missing_tool_ids": (False, '`true`: no id on tool calls; `"empty"`: empty id'),
    "missing_tool_index": (False, "tool deltas without `index`"),
    "finish_stop_with_tools": (False, "`finish_reason: stop` although tools were called"),
    "reasoning": (
        "vendor",
        "`off`, `own_chunk`, `with_last_text`, `with_tool`, `split`, `azure_cot`, `anthropic_form`",
    ),
    "gemini_thought_signature": (True, "Gemini tool calls carry `thought_signature` inside `function`"),
    "role_null": (False, "`role: null` on later deltas"),
    "role_empty": (False, '`role: ""` on later deltas'),
    "content_null": (False, "`content: null` where a delta has no content"),
    "missing_content": (False, "drop empty or null `content` keys"),
    "empty_deltas": (False, "extra empty-string deltas between the text deltas"),
    "message_instead_of_delta": (False, "`message` instead of `delta` in stream chunks"),
    "annotations": (False, "`annotations`, `copilot_annotations` and `code_references` on one chunk"),
    "side_channel": (False, "`copilot_references`, `copilot_confirmation`, `copilot_errors` frames"),
    "padding": (True, "random-length `padding` in non-stream messages (OpenAI dialects)"),
    "with_object_and_created": (False, "non-stream answers carry `object` and `created` after all"),
    "leak": (None, "non-stream: `anthropic_body` or `empty_choices`"),
    "sorted_keys": ("vendor", "alphabetical keys in every chunk"),
    "gate_timeout_s": (30, "who waits at a gate for so long gives up: the connection is reset"),
    "record_limit": (5000, "how many requests are remembered"),
    # -- chat: bytes on the wire (contract §6.4) --------------------------------------------------------------------
    "framing": ("normal", "`normal`, `single_newline`, `no_space`, `crlf`"),
    "comments": (False, "`: keep-alive` comments between frames"),
    "done_without_newline": (False, "last `data: [DONE]` without newline"),
    "missing_done": (False, "no `[DONE]` at all"),
    "tcp_chunk": ("normal", "`byte`: one byte per TCP segment"),
    "unchunked": (False, "streams end with the connection instead of chunked encoding"),
    "keep_alive": (True, "keep connections open after an answer"),
    "pace": (None, "events a second of streams whose prompt names no `[[pace: …]]` (null: all at once)"),
    "stream_content_type": ("text/event-stream", "content type of streams"),
}


def defaults() -> dict[str, Any]:
    """A fresh copy of every default."""
    import copy

    return {name: copy.deepcopy(default) for name, (default, _) in KNOBS.items()}


def check(changes: dict[str, Any]) -> None:
    """Refuse misspelt knobs: a silently ignored switch would make a test pass for the wrong reason."""
    unknown = sorted(set(changes) - set(KNOBS))
    if unknown:
        raise ValueError(f"unknown knob(s): {', '.join(unknown)}")


class Settings:
    """Read access to the knobs with the overrides of one request on top."""

    def __init__(self, *layers: dict[str, Any]) -> None:
        self._values = ChainMap(*layers)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def over(self, changes: dict[str, Any]) -> "Settings":
        check(changes)
        return Settings(dict(changes), dict(self._values))

    def vendor(self, name: str, by_vendor: Any) -> Any:
        """The knob's value, or ``by_vendor`` while it says "vendor"."""
        value = self[name]
        return by_vendor if value == "vendor" else value


def markdown_table() -> str:
    """The table of the README."""
    rows = ["| Knob | Default | Meaning |", "|---|---|---|"]
    import json

    rows += [f"| `{name}` | `{json.dumps(default)}` | {doc} |" for name, (default, doc) in KNOBS.items()]
    return "\n".join(rows)
