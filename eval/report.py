"""A run for people: tables for the terminal, and one HTML page that needs nothing from outside."""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from eval.metrics import COSTS, LOWER_IS_BETTER, TIMINGS, Estimate
from eval.results import Comparison, Difference, Quote, Row, Run, by_stage, risk_coverage
from eval.stages import MEANING as STAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.console import Console
    from rich.table import Table

MEANING = {
    "answer_correct": "answerable questions answered right",
    "refusal_recall": "unanswerable questions refused",
    "false_refusal": "answerable questions refused (lower is better)",
    "quote_exact": "quotes that are the document's text at their offsets",
    "citation_precision": "citations that overlap a gold passage",
    "citation_recall": "gold passages that a citation overlaps",
    "hit@5": "questions whose gold is among the first five passages",
    "search_s": "median seconds that the search takes",
    "first_token_s": "median time until the first word",
    "total_s": "median time until the whole answer",
    "prompt_tokens": "median of the tokens that the model is sent, in all its calls for an answer",
    "tokens_per_s": "median speed at which the model writes",
    "right_alone": "questions answered right from their gold paragraphs alone",
    "right_in_noise": "the same among paragraphs of other documents",
    "follows_change": "answers that follow the document when a figure or name in it is changed",
}

EXAMPLES = 5  # questions shown for each stage

# Stand-ins in the plots, put into the page's own colours afterwards.
_INK, _SOFT, _ACCENT, _BAD = "#010203", "#040506", "#070809", "#0a0b0c"
_COLOURS = {_INK: "var(--ink)", _SOFT: "var(--soft)", _ACCENT: "var(--accent)", _BAD: "var(--bad)"}


def print_run(run: Run, console: "Console") -> None:
    """The measures, the rates by type and, where there is an earlier run, what changed."""
    table = _table("Measure", "Value", "95% interval", "n")
    for name, value in run.summary.items():
        table.add_row(name, _shown(name, value.value), _range(name, value.low, value.high), str(value.n))
    console.print(table)
    table = _table("Type", "Right", "n", "Refused, rightly", "n", "Refused, wrongly", "n")
    for kind, rates in run.by_type.items():
        cells = [cell for name, rate in rates.items() for cell in (_shown(name, rate.value), str(rate.n or ""))]
        table.add_row(kind, *cells)
    console.print(table)
    if lost := by_stage(run.rows):
        table = _table("Went wrong", "n", "Meaning")
        table.columns[2].justify = "left"
        for stage, rows in lost.items():
            table.add_row(stage, str(len(rows)), STAGES[stage])
        console.print(table)
    if run.comparison is not None:
        print_comparison(run.comparison, console)
    for row in run.errors:
        console.print(f"Failed: {row.id}: {row.error}", markup=False, highlight=False, soft_wrap=True)
    for row in run.trial_errors:
        console.print(f"Trial failed: {row.id}: {row.trial_error}", markup=False, highlight=False, soft_wrap=True)
    for warning in run.warnings:
        console.print(f"Warning: {warning}.", markup=False, highlight=False, soft_wrap=True)
    wrong = sum(row.failed for row in run.rows)
    ending = (
        f"{len(run.rows)} questions, {wrong} to look at, {len(run.errors)} failed. Report: {run.out / 'report.html'}"
    )
    console.print(ending, markup=False, highlight=False, soft_wrap=True)


def print_comparison(comparison: Comparison, console: "Console") -> None:
    table = _table("Measure", comparison.before, comparison.after, "Change", "95% interval", "n", "")
    for name, d in comparison.differences.items():
        change = _shown(name, d.value, signed=True)
        interval = _range(name, d.low, d.high, signed=True)
        before, after = _shown(name, d.before), _shown(name, d.after)
        table.add_row(name, before, after, change, interval, str(d.n), verdict(name, d.low, d.high))
    console.print(table)
    console.print(_paired(comparison), markup=False, highlight=False, soft_wrap=True)


def write_report(run: Run, path: Path) -> None:
    path.write_text(html_report(run), encoding="utf-8")


def html_report(run: Run) -> str:
    failing = [row for row in run.rows if row.failed]
    parts = [
        _heading(run),
        _warnings(run),
        "<h2>Measures</h2>",
        _measures(run),
        "" if run.comparison is None else _comparison(run.comparison),
        _figures(run),
        _stages(run.rows),
        f"<h2>Questions to look at <small>{len(failing)} of {len(run.rows)}</small></h2>",
        "\n".join(_card(row) for row in failing) or "<p>None: every answer is right.</p>",
        f"<details><summary>All {len(run.rows)} questions</summary>{_all_rows(run.rows)}</details>",
    ]
    body = "\n".join(part for part in parts if part)
    return page(f"Evaluation of {run.origin.model}", body)


def page(title: str, body: str) -> str:
    """A whole HTML page in the look of the reports. `body` is HTML already."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{_CSS}</style></head>\n<body>{body}</body></html>\n'


def _table(first: str, *others: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _shown(name: str, value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    sign = "+" if signed else ""
    if name in COSTS:
        return f"{value:{sign}.2f} s" if name in TIMINGS else f"{value:{sign}.0f}"
    return f"{100 * value:{sign}.1f}{'' if signed else '%'}"


def _range(name: str, low: float | None, high: float | None, *, signed: bool = False) -> str:
    if low is None or high is None:
        return "-"
    sign = "+" if signed else ""
    if name in COSTS:
        digits = 2 if name in TIMINGS else 0
        return f"{low:{sign}.{digits}f} … {high:{sign}.{digits}f}"
    return f"{100 * low:{sign}.1f} … {100 * high:{sign}.1f}"


def verdict(name: str, low: float, high: float) -> str:
    """Of a difference with this interval: `better`, `worse`, or empty where chance explains it."""
    if low <= 0 <= high:
        return ""
    return "better" if (high < 0) == (name in LOWER_IS_BETTER) else "worse"


def _paired(comparison: Comparison) -> str:
    kept = f"{comparison.common} questions in common"
    left = f"{comparison.only_before} only before, {comparison.only_after} only after"
    end = f"Dropped: {', '.join(comparison.dropped)}." if comparison.dropped else "No drop beyond chance."
    return f"Paired over {kept} ({left}). {end}"


def _heading(run: Run) -> str:
    origin = run.origin
    versions = " · ".join(f"{escape(name)} {escape(number)}" for name, number in origin.versions.items())
    facts = {
        "Model": escape(origin.model),
        "Questions": f"{len(run.rows)} of {escape(origin.questions)} <code>{origin.questions_sha256[:12]}</code>",
        "Settings": f"<code>{escape(origin.fingerprint)}</code>",
        "Made": f"{escape(origin.date)}, in {origin.elapsed_s:.0f} s",
        "With": versions,
        "Failed": f"{len(run.errors)} questions ended in an error" if run.errors else "no question",
    }
    if run.trial_errors:
        facts["Trials failed"] = f"of {len(run.trial_errors)} questions, whose measures then are 0"
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f"<h1>Evaluation</h1><dl class='facts'>{listed}</dl>"


def _warnings(run: Run) -> str:
    if not run.warnings:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in run.warnings)
    return f"<section class='warning'><h2>Gold that does not fit the documents</h2><ul>{items}</ul></section>"


def _measures(run: Run) -> str:
    rows = [
        (
            f"<b>{escape(name)}</b><span>{escape(MEANING.get(name, ''))}</span>",
            _shown(name, value.value),
            _range(name, value.low, value.high),
            str(value.n),
        )
        for name, value in run.summary.items()
    ]
    note = "<p class='note'>Means, and medians for times, with 95% bootstrap intervals over the questions.</p>"
    return grid(("Measure", "Value", "95% interval", "n"), rows) + note


def _comparison(comparison: Comparison) -> str:
    rows = []
    for name, d in comparison.differences.items():
        judged = verdict(name, d.low, d.high)
        mark = f"<em class='{judged}'>{judged}</em>" if judged else ""
        change, interval = _shown(name, d.value, signed=True), _range(name, d.low, d.high, signed=True)
        cells = (_shown(name, d.before), _shown(name, d.after), change, interval, str(d.n), mark)
        rows.append((f"<b>{escape(name)}</b>", *cells))
    names = (escape(comparison.before), escape(comparison.after))
    table = grid(("Measure", *names, "Change", "95% interval", "n", ""), rows)
    return f"<h2>Against {names[0]}</h2>{table}<p class='note'>{escape(_paired(comparison))}</p>"


def _stages(rows: Sequence[Row]) -> str:
    lost = by_stage(rows)
    if not lost:
        return ""
    shown = []
    for stage, at in lost.items():
        examples = "".join(
            f"<span class='question'>{escape(row.id)}: {escape(row.question)}</span>" for row in at[:EXAMPLES]
        )
        name = f"<b>{escape(stage)}</b><span>{escape(STAGES[stage])}</span>"
        shown.append((name, str(len(at)), examples))
    return "<h2>Where it went wrong</h2>" + grid(("Stage", "n", "Examples"), shown)


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; every column but the first is set to the right."""
    head = "".join(f"<th scope='col'>{cell}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table class='grid'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _card(row: Row) -> str:
    turns = "".join(f"<p class='turn'>{escape(turn)}</p>" for turn in row.history)
    rewritten = row.standalone_question
    parts = [
        f"<header><b>{escape(row.id)}</b> <span>{escape(row.type)}</span> <em class='worse'>{_what(row)}</em>"
        f"<span>{escape(row.stage or '')}</span></header>",
        turns,
        f"<h3>{escape(row.question)}</h3>",
        f"<p class='turn'>understood as: {escape(rewritten)}</p>" if rewritten else "",
        "<dl>",
        _entry("Expected", "<br>".join(map(escape, row.answers)) if row.answerable else "<i>not in the documents</i>"),
        _entry("Given", escape(row.text or "")) if row.error is None else _entry("Error", escape(row.error)),
        _entry("Trial failed", escape(row.trial_error or "")),
        _entry("Status", escape(" · ".join(filter(None, (row.status, row.reason))))),
        _entry("Missing", escape(row.missing or "")),
        _entry("Cited", _quotes(row.citations)),
        _entry("Gold", _quotes(row.gold)),
        "</dl>",
    ]
    return f"<article>{''.join(parts)}</article>"


def _what(row: Row) -> str:
    if row.error is not None:
        return "failed"
    if row.measures.get("refusal_recall") == 0:
        return "answered, though the documents do not say"
    if row.status == "not_in_documents":
        return "refused"
    if row.measures.get("answer_correct") == 0:
        return "wrong"
    return "a gold fact is not cited" if row.stage == "miscited" else "a quote is not the document's text"


def _entry(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>" if value else ""


def _quotes(quotes: Sequence[Quote]) -> str:
    return "".join(
        f"<p><q>{escape(quote.quote)}</q> <span>{escape(quote.source)}{_place(quote)}"
        f"{f' · {escape(quote.support)}' if quote.support else ''}</span></p>"
        for quote in quotes
    )


def _place(quote: Quote) -> str:
    return "" if quote.start is None else f" {quote.start}-{quote.end}"


def _all_rows(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row.measures))
    body = []
    for row in rows:
        values = ["" if row.measures.get(name) is None else f"{row.measures[name]:.2f}" for name in names]
        question = f"<b>{escape(row.id)}</b><span class='question'>{escape(row.question)}</span>"
        answer = f"<span class='answer'>{escape(row.text or row.error or '')}</span>"
        body.append((question, escape(row.type), answer, escape(row.status or "error"), *values))
    return grid(("Question", "Type", "Answer", "Status", *map(escape, names)), body)


def _figures(run: Run) -> str:
    timings = {name: _known(run.rows, name) for name in TIMINGS}
    timings = {name: values for name, values in timings.items() if values}
    figures = [figure("Right answers and right refusals by type of question", _plot_types(run.by_type), "types")]
    if timings:
        figures.append(figure("Seconds each question took; the line is the median", _plot_timings(timings), "timings"))
    if len(curve := risk_coverage(run.rows)) > 1:
        caption = "Share of answers that are wrong, by share of the questions answered, surest answers first"
        figures.append(figure(caption, plot_curve(curve, "answered, percent", "wrong, percent", "risk"), "risk"))
    if run.comparison is not None and (rates := _rates(run.comparison)):
        figures.append(figure("Change in percentage points, with 95% intervals", _plot_changes(rates), "changes"))
    return f"<section class='figures'>{''.join(figures)}</section>"


def figure(caption: str, svg: str, name: str = "") -> str:
    """`name`: by which the page finds it."""
    named = svg.replace("<svg", f"<svg role='img' aria-label='{escape(caption)}'", 1)
    return f"<figure data-plot='{name}'>{named}<figcaption>{escape(caption)}</figcaption></figure>"


def _known(rows: Sequence[Row], name: str) -> list[float]:
    return [value for row in rows if (value := row.measures.get(name)) is not None]


def _rates(comparison: Comparison) -> dict[str, Difference]:
    return {name: d for name, d in comparison.differences.items() if name not in COSTS}


def _plot_types(by_type: dict[str, dict[str, Estimate]]) -> str:
    shown = [
        (f"{kind} ({rate.n})", rate)
        for kind, rates in by_type.items()
        for name in ("answer_correct", "refusal_recall")
        if (rate := rates[name]).n
    ]

    def draw(axes: "Axes") -> None:
        for place, (_, rate) in enumerate(shown):
            if rate.value is None or rate.low is None or rate.high is None:
                continue
            axes.barh(place, 100 * rate.value, height=0.55, color=_ACCENT, alpha=0.35)
            axes.plot([100 * rate.low, 100 * rate.high], [place, place], color=_INK, linewidth=1.2)
            axes.plot(100 * rate.value, place, "o", color=_INK, markersize=4)
        axes.set_xlim(0, 101)
        axes.set_xlabel("percent")

    return _plot(draw, [label for label, _ in shown], "types")


def _plot_timings(timings: dict[str, list[float]]) -> str:
    def draw(axes: "Axes") -> None:
        for place, values in enumerate(timings.values()):
            # Spread by turns, so that equal times stay apart and the page is the same each time.
            heights = [place + 0.22 * ((number * 7) % 11 - 5) / 5 for number in range(len(values))]
            axes.plot(values, heights, "o", color=_ACCENT, markersize=3, alpha=0.5, markeredgewidth=0)
            middle = median(values)
            axes.plot([middle, middle], [place - 0.34, place + 0.34], color=_INK, linewidth=1.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("seconds")

    return _plot(draw, list(timings), "timings")


def _plot_changes(changes: dict[str, Difference]) -> str:
    def draw(axes: "Axes") -> None:
        axes.axvline(0, color=_SOFT, linewidth=0.8)
        for place, (name, d) in enumerate(changes.items()):
            colour = _BAD if verdict(name, d.low, d.high) == "worse" else _INK
            axes.plot([100 * d.low, 100 * d.high], [place, place], color=colour, linewidth=1.2)
            axes.plot(100 * d.value, place, "o", color=colour, markersize=5)
        axes.set_xlabel("percentage points")

    return _plot(draw, list(changes), "changes")


def plot_curve(points: Sequence[tuple[float, float]], across: str, up: str, salt: str) -> str:
    """Shares as percentages; `across` and `up` name the axes."""

    def draw(axes: "Axes") -> None:
        axes.plot([100 * x for x, _ in points], [100 * y for _, y in points], color=_ACCENT, linewidth=1.5)
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)

    return _plot(draw, (), salt)


def _plot(draw: "Callable[[Axes], None]", labels: Sequence[str], salt: str) -> str:
    """An SVG element in the colours of the page, with one line a label, from top to bottom; without labels, two axes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "text.parse_math": False,
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.labelcolor": _SOFT,
        "xtick.color": _SOFT,
        "ytick.color": _INK,
    }
    with rc_context(settings):
        height = 0.7 + 0.3 * max(len(labels), 2) if labels else 3.2
        figure = Figure(figsize=(6.4, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        if labels:
            axes.set_yticks(range(len(labels)), labels)
            axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.tick_params(length=0)
        axes.grid(axis="x" if labels else "both", color=_SOFT, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _inline(written.getvalue(), salt)


def _inline(svg: str, prefix: str) -> str:
    """The <svg> element alone: no prologue, metadata or name spaces, its ids apart from those of other plots."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1">', svg, count=1)
    svg = re.sub(r"font: (\d+)px [^;\"]*", r"font-size: \1px", svg)
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg.strip()


_CSS = """
:root { color-scheme: light dark; --paper: #fdfcfa; --ink: #1d1c1a; --soft: #6f6b64; --line: #e3dfd7;
  --accent: #2f6690; --bad: #a63d2f; --good: #3c7a4b; }
@media (prefers-color-scheme: dark) { :root { --paper: #171716; --ink: #e8e5df; --soft: #98938a; --line: #34322e;
  --accent: #7fb2d9; --bad: #e08b7c; --good: #8cc79a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.25rem 6rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 Charter, "Bitstream Charter", "Iowan Old Style", Georgia, "DejaVu Serif", serif; }
h1 { font-size: 2rem; font-weight: 500; margin: 0 0 1.25rem; letter-spacing: -0.01em; }
h2 { font-size: 1.25rem; font-weight: 500; margin: 3rem 0 0.75rem; }
h2 small { color: var(--soft); font-size: 0.9rem; margin-left: 0.5rem; }
h3 { font-size: 1.1rem; font-weight: 500; margin: 0.35rem 0 0.6rem; }
dl, dd, dt, figure, p { margin: 0; }
dl > div { display: grid; grid-template-columns: 6rem 1fr; gap: 1rem; padding: 0.2rem 0; }
dt, .note, figcaption, .turn, article header, td span, dd span, th { color: var(--soft); font-size: 0.85rem; }
dd { overflow-wrap: anywhere; min-width: 0; }
code { font: 0.85em/1 ui-monospace, "DejaVu Sans Mono", monospace; }
.wide { overflow-x: auto; }
.grid { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
.grid th { font-weight: 500; border-bottom: 1px solid var(--soft); }
.grid th, .grid td { padding: 0.4rem 0 0.4rem 1.25rem; text-align: right; vertical-align: top; white-space: nowrap; }
.grid td { border-bottom: 1px solid var(--line); }
.grid th:first-child, .grid td:first-child { padding-left: 0; text-align: left; white-space: normal; }
td b { font-weight: 500; } td b + span { display: block; }
.answer, .question { display: block; min-width: 18rem; max-width: 30rem; text-align: left; white-space: normal; }
.note { margin-top: 0.6rem; }
.worse { color: var(--bad); } .better { color: var(--good); }
.worse, .better { font-style: normal; }
.warning { border-left: 3px solid var(--bad); padding-left: 1rem; margin-top: 2rem; } .warning h2 { margin-top: 0; }
.figures { display: grid; gap: 2.5rem; margin: 2.5rem 0; }
figure svg { display: block; width: 100%; height: auto; max-width: 46rem; }
figure text { font-family: system-ui, "DejaVu Sans", sans-serif; }
article { border-top: 1px solid var(--line); padding: 1.25rem 0 1.5rem; }
article header b { color: var(--ink); font-weight: 500; } article header span { margin: 0 0.5rem; }
q { quotes: "“" "”"; } dd p + p { margin-top: 0.3rem; }
details { margin-top: 3rem; } summary { cursor: pointer; font-size: 1.25rem; }
details[open] summary { margin-bottom: 1rem; }
"""
