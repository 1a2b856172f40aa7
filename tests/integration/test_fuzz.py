"""Mutated bodies over the three endpoints: 2xx or 4xx, in the right envelope, and no traceback in the log.

The first 1,500 in `make test`; 50,000 in `make fuzz` and in CI. One that fails says its number:
``python -m tests.support.fuzzing 12345`` runs it alone.
"""

from __future__ import annotations

import multiprocessing
import os

import pytest

from tests.support.fuzzing import CATALOGUE, ENDPOINTS, PATHS, SEED, Report, fuzz

BODIES = int(os.environ.get("FUZZ_BODIES", "1500"))
FROM_SEED = int(os.environ.get("FUZZ_SEED", SEED))
WORKERS = 1 if BODIES <= 1_500 else os.cpu_count() or 1
LEAST = BODIES // 500
"""So many answers each combination of dialects must have given at least, streamed and whole."""


@pytest.fixture(scope="module")
def report() -> Report:
    """What came of all bodies, in processes that are spawned, for the app has threads."""
    spans = [(worker * BODIES // WORKERS, (worker + 1) * BODIES // WORKERS, FROM_SEED) for worker in range(WORKERS)]
    merged = Report()
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        for one in pool.starmap(fuzz, spans):
            merged.add(one)
    return merged


@pytest.mark.timeout(120 + BODIES // 20)
def test_every_mutated_body_gets_an_answer_or_is_told_what_is_wrong(report: Report) -> None:
    assert report.bodies == BODIES
    assert not report.failures, "\n\n".join([f"{len(report.failures)} failed", *report.failures[:10]])
    assert {status for _, status in report.statuses} <= {200, 400, 404, 413, 422, 429}


def test_it_is_enough_to_meet_everything() -> None:
    assert LEAST >= 3


def test_all_nine_combinations_were_met_whole_and_streamed(report: Report) -> None:
    assert {path for model in CATALOGUE for path in model["supported_endpoints"]} == set(PATHS)
    for client in ENDPOINTS:
        for upstream in PATHS.values():
            for form in ("whole", "stream"):
                assert report.exchanges[client, upstream, form] >= LEAST, (client, upstream, form)


def test_tokens_were_counted_upstream_and_here(report: Report) -> None:
    assert report.exchanges["messages", "count", "count"] >= LEAST
    assert report.exchanges["messages", "here", "count"] >= LEAST


def test_every_endpoint_saw_both_good_and_bad_bodies(report: Report) -> None:
    for endpoint in ENDPOINTS:
        assert report.statuses[endpoint, 200] > BODIES / 20
        assert report.statuses[endpoint, 400] > BODIES / 20
