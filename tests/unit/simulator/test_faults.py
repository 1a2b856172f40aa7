"""Scripted faults, broken streams, gates and the control port (contract §13.10)."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.simulator import faults, knobs
from tests.simulator.__main__ import DEMO_PACE
from tests.simulator.client import ControlError, Simulator, WaitTimeout

ROOT = Path(__file__).resolve().parents[3]


def test_faults_count_down_and_select(wire):
    wire.sim.fault("rate_limited_429", times=2, model="gpt-4o")
    assert wire.chat("hi").status_code == 200
    limited = wire.chat("hi", "gpt-4o")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert wire.chat("hi", "gpt-4o").json()["error"]["code"] == "rate_limited"
    assert wire.chat("hi", "gpt-4o").status_code == 200
    wire.sim.fault(endpoint="/copilot_internal/v2/token", status=500, body="oops", headers={"x-a": "b"})
    broken = wire.session.get(wire.sim.api + "/copilot_internal/v2/token")
    assert (broken.status_code, broken.text, broken.headers["x-a"]) == (500, "oops", "b")
    wire.sim.fault("html_200", endpoint="/login/*", skip=1)
    answers = [wire.session.post(wire.sim.web + "/login/device/code", json={}) for _ in range(2)]
    assert [answer.headers["content-type"].partition(";")[0] for answer in answers] == [
        "application/x-www-form-urlencoded",
        "text/html",
    ]
    assert wire.sim.pending_faults() == []


def test_every_answering_preset_has_its_status(wire):
    headers = wire.headers()
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    for preset in wire.sim.presets():
        digits = [part for part in preset.split("_") if part.isdigit() and len(part) == 3]
        if digits:
            wire.sim.fault(preset)
            answer = wire.session.post(wire.sim.capi + "/chat/completions", headers=headers, json=body)
            assert answer.status_code == int(digits[0]), preset
    assert wire.sim.ledger()["user_requests"] == 0


def test_error_directives(wire):
    assert wire.chat("[[error: 429]]").status_code == 429
    assert wire.chat("[[error: 429 retry-after=3]]").headers["retry-after"] == "3"
    assert wire.chat("[[error: bad_gateway_502_html]]").headers["content-type"].startswith("text/html")
    with pytest.raises(requests.ConnectionError):
        wire.chat("[[error: reset_before_headers]]")


def test_broken_streams(wire):
    cut = wire.chat("[[cut: 2]]", stream=True)
    assert cut.content.count(b"data:") == 2
    half = wire.chat("[[say: 你好你好你好]][[cut_bytes: 1000]]", stream=True)
    assert len(half.content) == 1000
    for preset in ("reset_mid_stream", "truncate_abrupt"):
        wire.sim.fault(preset)
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            wire.chat("hi", stream=True)
    wire.sim.fault("truncate", at_byte=700)
    assert len(wire.chat("hi", stream=True).content) == 700
    wire.sim.fault("truncate")
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        wire.chat("[[cut: 1 abrupt]]")
    assert wire.sim.wait("cut_streams", 2)["open_streams"] == 0


def test_whole_answers_break_on_any_endpoint(wire):
    headers = wire.headers()
    for preset in ("truncate", "reset_mid_stream"):
        wire.sim.fault(preset, endpoint="/models")
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            wire.session.get(wire.sim.capi + "/models", headers=headers)
    assert wire.session.get(wire.sim.capi + "/models", headers=headers).status_code == 200


def test_a_forgotten_gate_gives_up(wire):
    wire.sim.config(gate_timeout_s=0.01)
    with pytest.raises(requests.ConnectionError):
        wire.chat("[[gate]]")


def test_errors_inside_streams(wire):
    frames = wire.stream("[[say: one two three four five]][[stream_error: rate_limited Slow down please]]")
    assert json.loads(frames[-1]) == {"error": {"code": "rate_limited", "message": "Slow down please"}}
    wire.sim.fault("in_stream_error_bare")
    assert wire.chat("hi", stream=True).content.endswith(
        b'\n\n{"error":{"code":"internal_error","message":"Internal server error"}}'
    )
    frames = wire.stream("[[filter: hate]]", "claude-sonnet-4.5")
    withdrawn = json.loads(frames[-2])["choices"][0]
    assert withdrawn["finish_reason"] == "content_filter"
    assert withdrawn["content_filter_results"]["hate"]["filtered"] is True
    assert json.loads(wire.stream("[[finish: length]]")[-3])["choices"][0]["finish_reason"] == "length"


def test_a_gate_steps_through_a_stream(wire):
    with wire.session.post(
        wire.sim.capi + "/chat/completions",
        headers=wire.headers(),
        stream=True,
        json={
            "model": "gpt-4.1",
            "stream": True,
            "messages": [{"role": "user", "content": "[[gate: step]][[say: a b c d e]]"}],
        },
    ) as answer:
        lines = answer.iter_lines()
        assert b"prompt_filter_results" in next(lines)
        wire.sim.wait_at_gate("step")
        assert wire.sim.state()["open_streams"] == 1
        wire.sim.release(1, "step")
        assert b"refusal" in next(line for line in lines if line)
        wire.sim.open_gate("step")
        assert [line for line in lines if line][-1] == b"data: [DONE]"
    wire.sim.wait("finished_streams")


def test_an_early_hang_up_is_noticed(wire):
    answer = wire.session.post(
        wire.sim.capi + "/chat/completions",
        headers=wire.headers(),
        stream=True,
        json={"model": "gpt-4.1", "stream": True, "messages": [{"role": "user", "content": "[[gate]]"}]},
    )
    wire.sim.wait("gate_waiting")
    answer.close()
    assert wire.sim.wait("aborted_streams")["gate_waiting"] == 0


def test_a_reset_ends_waiting_streams_without_counting_them(wire):
    body = {"model": "gpt-4.1", "stream": True, "messages": [{"role": "user", "content": "[[gate]]"}]}
    with wire.session.post(
        wire.sim.capi + "/chat/completions", headers=wire.headers(), stream=True, json=body
    ) as answer:
        wire.sim.wait("gate_waiting")
        wire.sim.reset()
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            _ = answer.content
    state = wire.sim.state()
    assert (state["open_streams"], state["cut_streams"], state["aborted_streams"]) == (0, 0, 0)


def test_slow_headers_wait_for_the_gate(wire):
    wire.sim.fault("slow_headers")
    headers = wire.headers()
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]}
    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(wire.session.post, wire.sim.capi + "/chat/completions", headers=headers, json=body)
        wire.sim.wait_at_gate("headers")
        assert not pending.done()
        wire.sim.release(1, "headers")
        assert pending.result(60).status_code == 200


def test_requests_are_recorded(wire):
    wire.chat("hi", header={"X_Initiator": "agent"})
    seen = wire.sim.last_request("/chat/completions")
    assert (seen["host"], seen["method"], seen["status"]) == ("capi", "POST", 200)
    assert seen["header"]["x-initiator"] == "agent"
    assert ["X-Initiator", "agent"] in seen["headers"]
    assert seen["json"]["messages"][0]["content"] == "hi"
    assert len(wire.sim.requests(host="api", clear=True)) == 1
    assert wire.sim.requests() == []
    with pytest.raises(WaitTimeout):
        wire.sim.wait("exchanges", 99, timeout=0.01)
    with pytest.raises(ControlError):
        wire.sim.config(no_such_knob=1)


def test_revocation_and_accounts(wire):
    wire.sim.revoke_github_token("ghu_test_individual")
    refused = wire.session.get(
        wire.sim.api + "/copilot_internal/v2/token", headers={"Authorization": "token ghu_test_individual"}
    )
    assert refused.status_code == 401
    wire.sim.set_account("ghu_test_new", plan="enterprise", login="mona", premium={"entitlement": 1000})
    assert wire.token("ghu_test_new")["individual"] is True
    wire.sim.reset()
    assert "ghu_test_new" not in wire.sim.accounts()


def test_the_readme_explains_every_knob():
    readme = (ROOT / "tests" / "simulator" / "README.md").read_text("utf-8")
    assert knobs.markdown_table() in readme


def test_what_the_readme_says_of_the_contract_is_shown():
    """Its table of contract §13 names tests and knobs that there are."""
    table = (ROOT / "tests/simulator/README.md").read_text("utf-8").partition("item by item")[2].partition("## ")[0]
    tests = "".join(file.read_text("utf-8") for file in (ROOT / "tests").glob("*/**/test_*.py"))
    named = re.findall(r"`(test_\w+)`", table)
    assert len(named) > 40
    assert [name for name in named if f"def {name}(" not in tests] == []
    rows = [row.split("|") for row in table.splitlines() if row.startswith("| 13.")]
    switches = re.findall(r"`([a-z_]{4,})`", "".join(row[3] for row in rows))
    assert [name for name in switches if name not in knobs.KNOBS and name not in faults.PRESETS] == ["ghu_test_credits"]


def test_every_knob_is_read_somewhere_and_every_one_read_exists():
    code = [path.read_text("utf-8") for path in (ROOT / "tests" / "simulator").glob("*.py") if path.stem != "knobs"]
    read = re.compile(r"""(?:settings|config)(?:\[|\.vendor\(\s*)"(\w+)\"""")
    assert {name for text in code for name in read.findall(text)} == set(knobs.KNOBS)


def test_it_starts_with_a_config_and_stops_on_sigterm():
    with Simulator.start(config={"ping_status": 503}) as sim:
        sim.config(ping_status=200)
        sim.reset()
        assert sim.config()["ping_status"] == 503
        process = sim.process
    assert process.returncode == 0
    command = [sys.executable, "-m", "tests.simulator"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert set(json.loads(process.stdout.readline())) == {"web", "api", "capi", "capi_business", "control"}
        process.terminate()
        assert process.wait(60) == 0


def test_a_paced_stream_comes_one_event_after_the_other(wire):
    wire.sim.config(pace=0.001)  # the second one would come after a quarter of an hour
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with wire.session.post(
        wire.sim.capi + "/chat/completions", json=body, headers=wire.headers(), stream=True
    ) as answer:
        assert next(answer.iter_lines()).startswith(b"data: ")
    wire.sim.wait("aborted_streams")


def test_the_demo_is_there_to_be_watched():
    with Simulator.start(demo=True) as demo:
        assert demo.config()["pace"] == DEMO_PACE
