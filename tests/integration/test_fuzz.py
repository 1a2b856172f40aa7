"""50,000 mutated bodies over the three doors: 2xx or 4xx, in the right envelope, and no traceback in the log.

One that fails says its number: ``python -m tests.support.fuzzing 12345`` runs it alone.
"""

from __future__ import annotations

import multiprocessing

import pytest

from tests.support.fuzzing import CATALOGUE, DOORS, PATHS, Report, fuzz

BODIES = 50_000
WORKERS = 2
LEAST = 100
"""So many answers each combination of dialects must have given at least, streamed and whole."""


@pytest.fixture(scope="module")
def report() -> Report:
    """What came of all bodies, half of them in each process; spawned, for the app has threads."""
    share = BODIES // WORKERS
    spans = [(worker * share, (worker + 1) * share) for worker in range(WORKERS)]
    merged = Report()
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        for one in pool.starmap(fuzz, spans):
            merged.add(one)
    return merged


@pytest.mark.timeout(600)
def test_every_mutated_body_gets_an_answer_or_is_told_what_is_wrong(report: Report) -> None:
    assert report.bodies == BODIES
    assert not report.failures, "\n\n".join([f"{len(report.failures)} failed", *report.failures[:10]])
    assert {status for _, status in report.statuses} <= {200, 400, 404, 413, 422, 429}


def test_all_nine_combinations_were_met_whole_and_streamed(report: Report) -> None:
    assert {path for model in CATALOGUE for path in model["supported_endpoints"]} == set(PATHS)
    for client in DOORS:
        for upstream in PATHS.values():
            for form in ("whole", "stream"):
                assert report.crossings[client, upstream, form] >= LEAST, (client, upstream, form)


def test_tokens_were_counted_upstream_and_here(report: Report) -> None:
    assert report.crossings["messages", "count", "count"] >= LEAST
    assert report.crossings["messages", "here", "count"] >= LEAST


def test_every_door_saw_both_good_and_bad_bodies(report: Report) -> None:
    for door in DOORS:
        assert report.statuses[door, 200] > BODIES / 20
        assert report.statuses[door, 400] > BODIES / 20
