"""`rag eval run --robust`: does an answer stand among unrelated passages, and does it follow the document when that changes?

Each question with gold spans is asked three more times, of passages in an index of their own: its gold paragraphs alone,
the same among paragraphs of other documents, and the same with one figure or name of the answer changed.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from eval.dataset import Case, gold_problem
from eval.metrics import answer_correct, key_groups, without_marks
from eval.results import TrialError
from rag.errors import InputError, RagError
from rag.folding import contains, fold
from rag.index import Index
from rag.pipeline import Rag
from rag.storing import recipe_of
from rag.types import Answer

MEASURES = ("right_alone", "right_in_noise", "follows_change")
NOISE = 4  # paragraphs of other documents
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
NAME = re.compile(r"[^\W\d_a-zß-öø-ÿ][\w'’-]+(?: [^\W\d_a-zß-öø-ÿ][\w'’-]+)+")  # of two words at least
INVENTED = ("Oswin Tarrel", "Maira Quendt")  # the second where the first stands there already


@dataclass(frozen=True, slots=True)
class Change:
    """`text` with every `old` made `new`. `phrases`: the keys that hold it, before and after."""

    old: str
    new: str
    text: str
    phrases: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one question is asked of. `change` None: nothing in its answer can be changed."""

    case: Case
    document: str
    text: str
    change: Change | None


def trials(cases: Sequence[Case], texts: Mapping[str, str]) -> list[Trial]:
    """Of the questions that have their gold in `texts` and no turns before them."""
    made = []
    for case in cases:
        known = [gold for gold in case.spans if not gold_problem(gold, texts)]
        whole = known and all(any(gold in known for gold in group) for group in case.span_groups)
        if not case.answerable or case.history or not whole:
            continue
        text = "\n\n".join(
            dict.fromkeys(paragraph(texts[gold.doc_id], gold.start or 0, gold.end or 0) for gold in known)
        )
        quotes = [texts[gold.doc_id][gold.start : gold.end] for gold in known]
        made.append(Trial(case, known[0].doc_id, text, changed(text, case, quotes)))
    return made


def paragraph(text: str, start: int, end: int) -> str:
    """What stands between the empty lines around a span."""
    left = text.rfind("\n\n", 0, start)
    right = text.find("\n\n", end)
    return text[0 if left < 0 else left + 2 : len(text) if right < 0 else right].strip()


def changed(text: str, case: Case, quotes: Sequence[str]) -> Change | None:
    """A figure of the answer with its last digit changed, or else a name of it made another."""
    asked = fold(case.question)
    groups = key_groups(case)
    for pattern in (NUMBER, NAME):
        found = ((group, old) for group in groups for member in group for old in pattern.findall(member))
        for group, old in found:
            new = _other_figure(old) if pattern is NUMBER else next(n for n in INVENTED if n not in text)
            whole = re.compile(rf"(?<![\w.,]){re.escape(old)}(?!\w|[.,]\d)")
            stands = any(whole.search(quote) for quote in quotes)
            phrases = tuple((member, whole.sub(new, member)) for member in group if whole.search(member))
            if (
                phrases
                and stands
                and new not in text
                and not any(contains(asked, said) for said in (old, *dict(phrases)))
            ):
                return Change(old, new, whole.sub(new, text), phrases)
    return None


def follows(change: Change, answer: Answer) -> float:
    """1 where the answer says what the changed document says and not what stood there before.

    By whole phrases: folded, the 2.8 of "2.8 million" is no word of its own.
    """
    said = fold(without_marks(answer.text))
    kept = answer.status != "not_in_documents"
    before, after = (any(contains(said, phrase) for phrase in side) for side in zip(*change.phrases, strict=True))
    return float(kept and after and not before)


@contextmanager
def robustness(
    rag: Rag, cases: Sequence[Case], texts: Mapping[str, str]
) -> Iterator[Callable[[Case], dict[str, float | None]]]:
    """Gives what asks a case's trials with the models of `rag`; it raises TrialError where one could not be asked.

    Raises InputError where no question has any.
    """
    made = {trial.case.id: trial for trial in trials(cases, texts)}
    if not made:
        raise InputError("No question has a gold span in the documents: --robust needs some.", "questions")
    with TemporaryDirectory(prefix="footnote-robust-") as folder:
        home = Path(folder)
        corpus = home / "corpus.jsonl"
        records = [record for trial in made.values() for record in _records(trial)]
        corpus.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
        index = Index(home / "index", recipe_of(rag.embedder, rag.settings.passage_tokens))
        apart = Rag(rag.settings.model_copy(update={"home": home}), index=index, embedder=rag.embedder, llm=rag.llm)
        try:
            apart.ingest([corpus])

            def measured(case: Case) -> dict[str, float | None]:
                trial = made.get(case.id)
                return _measured(trial, apart, noise(trial, list(made.values()))) if trial else dict.fromkeys(MEASURES)

            yield measured
        finally:
            index.close()


def noise(trial: Trial, others: Sequence[Trial]) -> list[str]:
    """The ids of the next trials, in turn, that are of other documents and share no text with this one."""
    at = next(i for i, other in enumerate(others) if other.case.id == trial.case.id)
    turned = [*others[at + 1 :], *others[:at]]
    return [other.case.id for other in turned if other.document != trial.document and other.text != trial.text][:NOISE]


def _measured(trial: Trial, rag: Rag, others: Sequence[str]) -> dict[str, float | None]:
    """Raises TrialError."""
    case, change = trial.case, trial.change
    values: dict[str, float | None] = dict.fromkeys(MEASURES)
    failed: list[str] = []

    def trial_of(name: str, sources: Sequence[str], measure: Callable[[Answer], float | None]) -> None:
        try:
            values[name] = measure(rag.ask(case.question, (), sources))
        except RagError as error:
            values[name] = 0.0
            failed.append(f"{name}: {type(error).__name__}: {error}")

    if case.keys or case.answers:
        trial_of("right_alone", [_clean(case.id)], lambda answer: answer_correct(case, answer))
        if others:
            among = [_clean(case.id), *map(_clean, others)]
            trial_of("right_in_noise", among, lambda answer: answer_correct(case, answer))
    if change:
        trial_of("follows_change", [_changed(case.id)], lambda answer: follows(change, answer))
    if failed:
        raise TrialError("; ".join(failed), values)
    return values


def _records(trial: Trial) -> Iterator[dict[str, str]]:
    title = Path(trial.document).stem
    yield {"doc_id": _clean(trial.case.id), "title": title, "text": trial.text}
    if trial.change:
        yield {"doc_id": _changed(trial.case.id), "title": title, "text": trial.change.text}


def _clean(id_: str) -> str:
    return f"{id_}/clean"


def _changed(id_: str) -> str:
    return f"{id_}/changed"


def _other_figure(figure: str) -> str:
    last = int(figure[-1])
    return f"{figure[:-1]}{last % 9 + 1}"
