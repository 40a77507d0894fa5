"""What the adapter is trained on, as tokens: `python -m eval.training.prompts OUT`.

The documents and questions are our own (eval/data/answerable.jsonl); the prompts are the product's: its chunks, its search, its
evidence. Each question is asked three times: of its own document, of all documents, and, where it has an answer, of all but its own,
which leaves the nearest things that do not answer it. `--once` asks it of its own document or of all by turns, and every fourth
also of the others: a third of the prompts, for a computer without a GPU.
"""

import json
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import typer
import xllamacpp

from eval.training.adapter import Example, Prompts
from rag.config import Settings, load_settings
from rag.folding import contains, fold
from rag.generation import ASKS_WHETHER
from rag.models.weights import weights_path
from rag.pipeline import Rag
from rag.types import Message

DATA = Path(__file__).parent.parent / "data" / "answerable.jsonl"
YES, NO = "Yes", "No"

Tokens = Callable[[str, dict[str, Any]], dict[str, Any]]
Scope = Literal["own", "all", "others"]


@dataclass(frozen=True, slots=True)
class Question:
    """`answer`: words of the document's text; None where it has none. Documents of a family are about things of one kind."""

    id: str
    family: str
    source: str
    question: str
    answer: str | None


class Listening:
    """Stands in for the model and keeps what it is asked first."""

    name = "listening"
    busy = False
    cites = False

    def __init__(self) -> None:
        self.checks: list[Sequence[Message]] = []

    def stream(self, messages: Sequence[Message]) -> Generator[str]:
        yield "NOT FOUND"

    def yes_probability(self, messages: Sequence[Message]) -> float:
        self.checks.append(messages)
        return 1.0

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


def read_documents(path: Path, folder: Path, skip: int = 0, limit: int | None = None) -> list[Question]:
    """Writes each document of `path` into `folder` as a file and returns the questions of all."""
    questions = []
    lines = list(enumerate(path.read_text(encoding="utf-8").splitlines()))[skip:]
    for n, line in lines[:limit]:
        record = json.loads(line)
        source = f"{n}.md"
        (folder / source).write_text(f"# {record['title']}\n\n{record['text']}\n", encoding="utf-8")
        for k, asked in enumerate(record["questions"]):
            questions.append(Question(f"{n}-{k}", record["family"], source, asked["question"], asked["answer"]))
    return questions


def scopes(number: int, answered: bool, *, once: bool) -> list[Scope]:
    """What question `number` is asked of."""
    found: list[Scope] = ["own", "all"] if not once else ["own"] if number % 2 else ["all"]
    return [*found, "others"] if answered and (not once or number % 4 == 0) else found


def asked(
    rag: Rag, questions: Sequence[Question], *, once: bool = False
) -> Iterator[tuple[Question, Scope, Sequence[Message], bool]]:
    """(question, scope, the product's prompt, whether its evidence answers), for each scope in which there is any evidence."""
    sources = [d.source for d in rag.documents()]
    for number, q in enumerate(questions):
        only_of: dict[Scope, list[str]] = {
            "own": [q.source],
            "all": [],
            "others": [s for s in sources if s != q.source],
        }
        for scope in scopes(number, q.answer is not None, once=once):
            only = only_of[scope]
            rag.llm = listening = Listening()
            rag.ask(q.question, (), only)
            if not listening.checks:
                continue
            messages = listening.checks[0]
            held = q.answer is not None and contains(fold(messages[-1].content.rpartition("\n\n")[0]), q.answer)
            if q.answer is None or held is (
                scope != "others"
            ):  # an answer that was cut, or stands elsewhere too, teaches nothing
                yield q, scope, messages, held


@contextmanager
def tokenizer(model: Path) -> Iterator[Tokens]:
    """The engine's own templates and tokens."""
    params = xllamacpp.CommonParams()
    params.model.path, params.hostnames, params.port, params.n_ctx = str(model), ["127.0.0.1"], 0, 512
    params.verbosity, params.ui = -1, False
    server = xllamacpp.Server(params)
    with httpx.Client(base_url=server.listening_address) as client:
        yield lambda path, body: client.post(path, json=body).raise_for_status().json()
    del server


def cut(messages: Sequence[Message], tokens: Tokens, invocation: Sequence[int]) -> tuple[list[int], list[int]]:
    """The tokens of a prompt up to the words that wake the adapter, and from there on. Raises ValueError where they are not in it."""
    sent = [{"role": m.role, "content": m.content} for m in messages]
    prompt = tokens("/apply-template", {"messages": sent})["prompt"]
    whole = tokens("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
    starts = [i for i in range(len(whole)) if whole[i : i + len(invocation)] == list(invocation)]
    if not starts:
        raise ValueError(f"The prompt does not say {ASKS_WHETHER!r}: {messages[-1].content[-200:]}")
    return whole[: starts[-1]], whole[starts[-1] :]


def prompts(
    settings: Settings, data: Path, tokens: Tokens, *, skip: int = 0, limit: int | None = None, once: bool = False
) -> Prompts:
    invocation, yes, no = (tokens("/tokenize", {"content": text})["tokens"] for text in (ASKS_WHETHER, YES, NO))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = read_documents(data, folder, skip, limit)
        rag = Rag.open(settings.model_copy(update={"home": folder / "home"}))
        try:
            rag.ingest([folder / source for source in dict.fromkeys(q.source for q in questions)])
            examples = []
            for q, scope, messages, answered in asked(rag, questions, once=once):
                prefix, suffix = cut(messages, tokens, invocation)
                examples.append(Example(f"{q.id}-{scope}", q.family, tuple(prefix), tuple(suffix), answered))
        finally:
            rag.close()
    return Prompts(tuple(invocation), yes[0], no[0], tuple(examples))


def main(
    out: Annotated[Path, typer.Argument(help="Where the prompts go.")],
    data: Annotated[Path, typer.Option(help="Documents and questions.")] = DATA,
    skip: Annotated[int, typer.Option(min=0, help="Documents to leave out at the beginning.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Documents to take at most.")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="About a third of the prompts: each question once or twice.")
    ] = False,
) -> None:
    """Write the prompts that the adapter is trained on."""
    settings = load_settings(llm="extractive")
    with tokenizer(weights_path(settings.models)) as tokens:
        found = prompts(settings, data, tokens, skip=skip, limit=limit, once=once)
    out.write_text(json.dumps(asdict(found)), encoding="utf-8")
    typer.echo(f"{len(found.examples)} prompts, {sum(e.answerable for e in found.examples)} of them answered: {out}")


if __name__ == "__main__":
    typer.run(main)
