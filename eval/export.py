"""A run's rows in the form that other evaluators read. Errors are left out: they have no answer to judge."""

import json
from collections.abc import Callable, Mapping, Sequence

from eval.results import Row


def export(rows: Sequence[Row], to: str) -> str:
    """`to`: one of FORMS."""
    return FORMS[to]([row for row in rows if row.error is None])


def _ragas(rows: Sequence[Row]) -> str:
    """JSON lines of ragas' SingleTurnSample: `EvaluationDataset.from_jsonl`."""
    samples = [
        {
            "user_input": _asked(row),
            "retrieved_contexts": list(row.passages),
            "reference_contexts": [gold.quote for gold in row.gold if gold.quote],
            "response": row.text,
            "reference": _reference(row),
        }
        for row in rows
    ]
    return "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)


def _deepeval(rows: Sequence[Row]) -> str:
    """A JSON list for deepeval's `EvaluationDataset.add_test_cases_from_json_file`, under LLMTestCase's own names."""
    cases = [
        {
            "name": row.id,
            "input": _asked(row),
            "actual_output": row.text,
            "expected_output": _reference(row),
            "context": [gold.quote for gold in row.gold if gold.quote],
            "retrieval_context": list(row.passages),
        }
        for row in rows
    ]
    return json.dumps(cases, ensure_ascii=False, indent=1) + "\n"


def _asked(row: Row) -> str:
    """Both forms hold one turn: a follow-up goes in as it was understood."""
    return row.standalone_question or row.question


def _reference(row: Row) -> str:
    return row.answers[0] if row.answers else "" if row.answerable else "The documents do not say."


FORMS: Mapping[str, Callable[[Sequence[Row]], str]] = {"ragas": _ragas, "deepeval": _deepeval}
