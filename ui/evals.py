"""The evaluation view -> HTML, pure: what can be run, what was run, and what came of a run."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rag.http.evals import EvalState, QuestionSet
from ui.render import esc
from ui.words import Words

TIMES = ("search_s", "first_token_s", "total_s")
COUNTS = ("prompt_tokens", "tokens_per_s")
SETS: tuple[QuestionSet, ...] = ("sample", "own")


def render_evals_view(words: Words) -> str:
    """The frame, filled by evals.js."""
    return (
        f'<section class="fn-view" aria-labelledby="fn-evals-title"><h2 id="fn-evals-title" tabindex="-1">'
        f'{words("view.evals")}</h2><p class="fn-lead">{words("evals_lead")}</p><div id="fn-eval-start"></div>'
        f'<div id="fn-eval-now" hidden><progress aria-label="{words("eval_progress")}"></progress><p role="status"></p>'
        f'<button type="button" data-do="eval-stop">{words("stop")}</button></div>'
        '<p id="fn-eval-told" role="alert"></p><div id="fn-eval-run"></div></section>'
    )


def render_start(counts: Mapping[QuestionSet, int], runs: Sequence[EvalState], words: Words, *, writes: bool) -> str:
    """The form that starts a run, and the runs to look at."""
    options = "".join(
        f'<option value="{name}"{"" if counts.get(name) else " disabled"}>{words(f"set.{name}")} ({counts.get(name, 0)})</option>'
        for name in SETS
    )
    form = (
        f'<form id="fn-eval-form"><label>{words("eval_questions")} <select name="set">{options}</select></label>'
        f'<label>{words("eval_limit")} <input name="limit" type="number" min="1" inputmode="numeric" '
        f'placeholder="{words("eval_all")}"></label><button>{words("eval_run")}</button></form>'
        if writes
        else f'<p class="fn-read-only">{words("read_only")}</p>'
    )
    current = next((run for run in runs if run.status == "running"), None)
    under_way = f'<data id="fn-eval-current" value="{current.id}"></data>' if current else ""
    listed = "".join(f'<option value="{run.id}">{_named(run, words)}</option>' for run in runs if run is not current)
    chosen = f'<label class="fn-eval-runs">{words("eval_runs")} <select id="fn-eval-runs">{listed}</select></label>'
    return form + under_way + (chosen if listed else f'<p class="fn-empty">{words("eval_none")}</p>')


def render_run(run: EvalState, words: Words) -> str:
    """Measures, comparison, where it went wrong and the failures. The plots come from the report: evals.js puts them in."""
    if run.result is None:
        why = esc(str(run.error)) if run.error else words("eval_nothing")
        return f'<p class="fn-empty">{words(f"eval.{run.status}")}: {why}</p>'
    made = run.result["made_with"]
    facts = [words(f"eval.{run.status}"), f"{run.done} {words(f'set.{run.set}')}", esc(made["model"])]
    facts += [_moment(made["date"]), f"{made['elapsed_s']:.0f} s"]
    report = f'<a href="/v1/evals/{run.id}/report" target="_blank" rel="noopener">{words("eval_report")}</a>'
    parts = [
        f'<p class="fn-small">{" · ".join(facts)} · {report}</p>',
        _measures(run.result["measures"], words),
        _comparison(run.result["comparison"], words),
        f'<section id="fn-eval-plots" aria-label="{words("eval_plots")}"></section>',
        _stages(run.result["stages"], words),
        _failures(run.result["failures"], words),
        _warnings(run.result["warnings"], words),
    ]
    return "".join(parts)


def _named(run: EvalState, words: Words) -> str:
    what = f"{words(f'set.{run.set}')}, {run.done}"
    state = "" if run.status == "done" else f" · {words(f'eval.{run.status}')}"
    return f"{_moment(run.started)} · {what}{state}"


def _moment(iso: str) -> str:
    return esc(iso[:16].replace("T", " "))


def _measures(measures: Mapping[str, Any], words: Words) -> str:
    rows = [
        (_measure(name, words), _shown(name, m["value"]), _range(name, m["low"], m["high"]), str(m["n"]))
        for name, m in measures.items()
        if m["n"]
    ]
    return _table(words("eval_measures"), [words(f"column.{c}") for c in ("measure", "value", "interval", "n")], rows)


def _comparison(comparison: Mapping[str, Any] | None, words: Words) -> str:
    if not comparison:
        return ""
    rows = []
    for name, d in comparison["differences"].items():
        judged = d["verdict"]
        mark = f'<span class="fn-{judged}">{words(f"verdict.{judged}")}</span>' if judged else ""
        cells = (_shown(name, d["before"]), _shown(name, d["after"]), _shown(name, d["value"], signed=True))
        rows.append((_measure(name, words, short=True), *cells, _range(name, d["low"], d["high"], signed=True), mark))
    heads = [words(f"column.{c}") for c in ("measure", "before", "after", "change", "interval")]
    title = words("eval_against", run=esc(_named_by_time(comparison["before"])), n=comparison["common"])
    return _table(title, [*heads, ""], rows)


def _named_by_time(id_: str) -> str:
    """`20261126-131119` as people write it."""
    return re.sub(r"^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d).*", r"\1-\2-\3 \4:\5", id_)


def _stages(stages: Mapping[str, Sequence[str]], words: Words) -> str:
    rows = [
        (f"<b>{words(f'stage.{stage}')}</b><small>{words(f'stage.{stage}.means')}</small>", str(len(ids)))
        for stage, ids in stages.items()
    ]
    return _table(words("eval_stages"), [words("column.stage"), words("column.n")], rows) if rows else ""


def _failures(failures: Sequence[Mapping[str, Any]], words: Words) -> str:
    heading = f"<h3>{words('eval_failures')} <small>{len(failures)}</small></h3>"
    if not failures:
        return f"{heading}<p>{words('eval_all_right')}</p>"
    return heading + "".join(_failure(f, words) for f in failures)


def _failure(f: Mapping[str, Any], words: Words) -> str:
    where = words(f"stage.{f['stage']}") if f["stage"] else ""
    expected = " / ".join(map(esc, f["answers"])) if f["answerable"] else f"<i>{words('not_there')}</i>"
    said = [
        (words("failure.expected"), expected),
        (words("failure.given"), esc(f["text"] or "")),
        (words("failure.error"), esc(f["error"] or "")),
        (words("failure.cited"), _quotes(f["citations"])),
        (words("failure.gold"), _quotes(f["gold"])),
    ]
    listed = "".join(f"<dt>{name}</dt><dd dir='auto'>{value}</dd>" for name, value in said if value)
    return (
        f'<details class="fn-lost"><summary><span dir="auto">{esc(f["question"])}</span> '
        f"<small>{esc(f['id'])} · {where or words('eval.failed')}</small></summary><dl>{listed}</dl></details>"
    )


def _quotes(quotes: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"<p><q>{esc(quote['quote'])}</q> <code>{esc(quote['source'])}</code></p>" for quote in quotes)


def _warnings(warnings: Sequence[str], words: Words) -> str:
    items = "".join(f"<li>{esc(warning)}</li>" for warning in warnings)
    return f"<h3>{words('eval_warnings')}</h3><ul>{items}</ul>" if warnings else ""


def _measure(name: str, words: Words, *, short: bool = False) -> str:
    means = words(f"measure.{name}")
    return f'<b title="{means}">{esc(name)}</b>' if short else f"<b>{esc(name)}</b><small>{means}</small>"


def _shown(name: str, value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    sign = "+" if signed else ""
    if name in COUNTS:
        return f"{value:{sign}.0f}"
    return f"{value:{sign}.2f} s" if name in TIMES else f"{100 * value:{sign}.1f}{'' if signed else ' %'}"


def _range(name: str, low: float | None, high: float | None, *, signed: bool = False) -> str:
    if low is None or high is None:
        return "–"
    one, digits = (1, 2) if name in TIMES else (1, 0) if name in COUNTS else (100, 1)
    form = f"{'+' if signed else ''}.{digits}f"
    return f"{one * low:{form}} … {one * high:{form}}"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The cells are HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    return (
        f'<div class="fn-wide" tabindex="0" role="group" aria-label="{caption}"><table class="fn-figures">'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
