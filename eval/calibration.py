"""`rag calibrate`: the two thresholds under which a question is refused, chosen on questions whose answers are known.

A question is answered where its best search score reaches `gate` and the model's probability that the evidence answers it
reaches `check`; a question that the lines at the head of a document answer (rag.bylines) passes the check whatever the
model says. What is refused after writing, because nothing supports it, comes on top and is not counted here.

Of a question in several parts the program answers those that reach `check` alone. That is not seen here: an Answer tells
the model's probability of the whole, so such a question counts as refused where only parts of it are sure.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eval.dataset import Case
from eval.metrics import Estimate, auroc, estimate
from eval.report import figure, grid, page, plot_curve
from rag.errors import InputError, RagError
from rag.types import Answer

if TYPE_CHECKING:
    from rich.console import Console

STEPS = np.round(np.linspace(0, 1, 101), 2)
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """What the two thresholds see of a question. `sure`: None where the model does not tell, 1 where it is not heeded."""

    id: str
    answerable: bool
    score: float
    sure: float | None


@dataclass(frozen=True, slots=True)
class Rates:
    """`false_answer`: unanswerable questions let through; `false_refusal`: answerable ones refused."""

    gate: float
    check: float
    false_answer: Estimate
    false_refusal: Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """`held_out`: each fifth of the questions under the thresholds chosen on the others, which is what to expect of new ones.

    `curve`: (false refusal, false answer) at each check under the chosen gate.
    """

    bound: float
    chosen: Rates
    present: Rates
    held_out_false_answer: Estimate
    held_out_false_refusal: Estimate
    auroc: Estimate
    curve: tuple[tuple[float, float], ...]
    failed: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        data = asdict(self)
        del data["chosen"]
        return {**asdict(self.chosen), **data, "failed": list(self.failed)}


def probes(cases: Sequence[Case], ask: Callable[[Case], Answer]) -> Iterator[Probe | str]:
    """`ask` must refuse nothing before the check, and everything at it. A string says what failed, and the rest goes on."""
    for case in cases:
        try:
            answer = ask(case)
        except RagError as error:
            yield f"{case.id}: {type(error).__name__}: {error}"
            continue
        best = answer.passages[0].score if answer.passages else 0.0
        sure = answer.timings.get("check")
        if sure is not None and "first_token_s" in answer.timings:  # answered in spite of the check, from a byline
            sure = 1.0
        yield Probe(case.id, case.answerable, best, sure)


def calibrate(found: Sequence[Probe | str], bound: float, gate: float, check: float) -> Calibration:
    """`gate`, `check`: the present thresholds. `bound`: the most false refusals. Raises InputError."""
    known = [probe for probe in found if isinstance(probe, Probe)]
    counts = [sum(p.answerable is kind for p in known) for kind in (True, False)]
    if min(counts) < FOLDS:
        raise InputError(
            f"Calibrating needs {FOLDS} answerable and {FOLDS} unanswerable questions at least; "
            f"these are {counts[0]} and {counts[1]}.",
            "questions",
        )
    chosen = choose(known, bound)
    held: list[tuple[Probe, bool]] = []
    for fold in _folds(known):
        rest = [p for p in known if p not in fold]
        thresholds = choose(rest, bound)
        held += [(p, passes(p, *thresholds)) for p in fold]
    sure = [[_sure(p) for p in known if p.answerable is kind] for kind in (True, False)]
    curve = {_point(known, chosen[0], float(t)) for t in STEPS}
    return Calibration(
        bound,
        rates(known, *chosen),
        rates(known, gate, check),
        estimate([float(let) for p, let in held if not p.answerable]),
        estimate([float(not let) for p, let in held if p.answerable]),
        auroc(*sure),
        tuple(sorted(curve, key=lambda point: (point[0], -point[1]))),
        tuple(text for text in found if isinstance(text, str)),
    )


def choose(known: Sequence[Probe], bound: float) -> tuple[float, float]:
    """(gate, check) with the fewest false answers of those with at most `bound` false refusals.

    Of several that are equally good, also in their false refusals, the middle.
    """
    score = np.array([p.score for p in known]) >= STEPS[:, None]
    sure = np.array([_sure(p) for p in known]) >= STEPS[:, None]
    yes = np.array([p.answerable for p in known])

    def let_through(kind: NDArray[np.bool_]) -> NDArray[np.int64]:
        return (score & kind).astype(np.int64) @ sure.astype(np.int64).T  # (gates, checks)

    refused = int(yes.sum()) - let_through(yes)
    answered = let_through(~yes)
    allowed = refused <= bound * int(yes.sum())
    best = int(answered[allowed].min())
    fewest = int(refused[allowed & (answered == best)].min())
    gates, checks = np.nonzero(allowed & (answered == best) & (refused == fewest))
    check = np.unique(checks)[len(np.unique(checks)) // 2]
    tied = gates[checks == check]
    return float(STEPS[tied[len(tied) // 2]]), float(STEPS[check])


def passes(probe: Probe, gate: float, check: float) -> bool:
    return probe.score >= gate and _sure(probe) >= check


def rates(known: Sequence[Probe], gate: float, check: float) -> Rates:
    let = [float(passes(p, gate, check)) for p in known if not p.answerable]
    lost = [float(not passes(p, gate, check)) for p in known if p.answerable]
    return Rates(gate, check, estimate(let), estimate(lost))


def print_calibration(result: Calibration, console: "Console") -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "gate", "check", "false answers", "95%", "n", "false refusals", "95%", "n"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in _rows(result):
        table.add_row(*row)
    console.print(table)
    console.print(_note(result), highlight=False)
    for failed in result.failed:
        console.print(f"Failed: {failed}", markup=False, highlight=False, soft_wrap=True)


def write_page(result: Calibration, path: Path, questions: str) -> None:
    heads = ("", "gate", "check", "False answers", "95%", "n", "False refusals", "95%", "n")
    caption = "Unanswerable questions answered, by answerable questions refused, as check rises under the chosen gate"
    drawn = figure(
        caption, plot_curve(result.curve, "refused wrongly, percent", "answered wrongly, percent", "calibration")
    )
    body = (
        f"<h1>Calibration on {escape(questions)}</h1>{grid(heads, _rows(result))}<p class='note'>{escape(_note(result))}</p>"
        f"<section class='figures'>{drawn}</section>"
    )
    path.write_text(page(f"Calibration on {questions}", body), encoding="utf-8")


def _rows(result: Calibration) -> list[tuple[str, ...]]:
    held = (_percent(result.held_out_false_answer), _percent(result.held_out_false_refusal))
    return [
        *(
            (name, f"{r.gate:.2f}", f"{r.check:.2f}", *_percent(r.false_answer), *_percent(r.false_refusal))
            for name, r in (("chosen", result.chosen), ("present", result.present))
        ),
        ("chosen on others", "", "", *held[0], *held[1]),
    ]


def _note(result: Calibration) -> str:
    area = "not known" if result.auroc.value is None else f"{result.auroc.value:.2f}"
    return (
        f"At most {100 * result.bound:.0f}% false refusals were allowed. AUROC of the check: {area}. "
        f"“Chosen on others”: each fifth under thresholds chosen without it, as new questions would fare."
    )


def _percent(value: Estimate) -> tuple[str, str, str]:
    if value.value is None or value.low is None or value.high is None:
        return "-", "-", "0"
    return f"{100 * value.value:.1f}%", f"{100 * value.low:.0f}–{100 * value.high:.0f}", str(value.n)


def _folds(known: Sequence[Probe]) -> list[list[Probe]]:
    """Fifths with both kinds in proportion, always the same."""
    order = list(known)
    Random(0).shuffle(order)
    order.sort(key=lambda p: p.answerable)
    return [order[start::FOLDS] for start in range(FOLDS)]


def _point(known: Sequence[Probe], gate: float, check: float) -> tuple[float, float]:
    lost = [not passes(p, gate, check) for p in known if p.answerable]
    let = [passes(p, gate, check) for p in known if not p.answerable]
    return sum(lost) / len(lost), sum(let) / len(let)


def _sure(probe: Probe) -> float:
    """Where the model does not tell, nothing is refused at the check."""
    return 1.0 if probe.sure is None else probe.sure
