import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.config import load_settings
from rag.errors import EmptyIndexError, InputError, InUseError, ModelError, ModelTimeout, StoreError
from rag.index import Index
from rag.ingesting import Progress
from rag.pipeline import NO_WEIGHTS, SURVEY_STEPS, Rag
from rag.storing import recipe_of
from rag.types import Answer, Delta, Done, Event, Message, Retrieved
from tests.fakes import DIMENSION, FakeEmbedder, FakeLLM, fake_rag
from tests.folders import outcome, write

BUILT = "The lighthouse on Farrow Point was built by Edna Marsh in 1887."
ASKED = "Who built the lighthouse on Farrow Point?"
ASKED_BOTH = "Who built the lighthouse on Farrow Point, and how many crowns did it cost?"
REFUSAL = "The documents do not say."


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Rag]:
    with fake_rag(tmp_path / "home", FakeLLM(BUILT)) as rag:
        yield rag


def says(rag: Rag, reply: str, **options: object) -> FakeLLM:
    rag.llm = llm = FakeLLM(reply, **options)  # type: ignore[arg-type]
    return llm


def streamed(events: Sequence[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, Delta))


def answer_of(events: Sequence[Event]) -> Answer:
    last = events[-1]
    assert isinstance(last, Done)
    return last.answer


# -- documents ----------------------------------------------------------------------------------------------------


def test_removing_an_unknown_document_is_bad_input_and_removes_none(rag: Rag) -> None:
    with pytest.raises(InputError, match=r"No document 'gone\.md'"):
        rag.remove(["mill.txt", "gone.md"])
    assert len(rag.documents()) == 2
    rag.remove(["mill.txt"])
    assert [d.source for d in rag.documents()] == ["lighthouse.md"]
    with pytest.raises(InputError):
        rag.text("mill.txt")


# -- an outdated index --------------------------------------------------------------------------------------------


class OtherEmbedder(FakeEmbedder):
    """Another model, whose vectors are of no use to the first."""

    name = "other"
    dimension = DIMENSION + 1

    def embed_query(self, text: str) -> NDArray[np.float32]:
        return np.append(super().embed_query(text)[::-1], np.float32(0))


def reopened(home: Path, embedder: FakeEmbedder, older: FakeEmbedder | None = None, **settings: object) -> Rag:
    """With other settings. `older`: what opens under the name of the embedder before; None: nothing does."""

    def open_older(name: str) -> FakeEmbedder:
        if older is None:
            raise ModelError("Cannot load it.")
        assert older.name == name
        return older

    made = load_settings(environ={}, home=home, llm="extractive", **settings)
    index = Index(home / "index", recipe_of(embedder, made.passage_tokens))
    return Rag(made, index=index, embedder=embedder, llm=None, older=open_older)


def test_an_outdated_index_answers_as_it_was_until_it_is_made_anew(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
        assert rag.outdated == ""
        before = [hit.as_dict() for hit in rag.search("Who kept a goat?")]
    shutil.rmtree(corpus)  # the files are not needed
    with reopened(tmp_path / "home", OtherEmbedder(), FakeEmbedder(), passage_tokens=40) as rag:
        assert "with the embedder 'fake', not 'other' and with passages of 230 tokens, not 40" in rag.outdated
        assert [hit.as_dict() for hit in rag.search("Who kept a goat?")] == before
        meanwhile: list[str] = []

        def progress(p: Progress) -> None:
            meanwhile.append(rag.search("Who kept a goat?")[0].passage.source)
            with pytest.raises(InUseError, match="being made anew"):
                rag.ingest([tmp_path])

        rag.rebuild(progress)
        assert meanwhile == ["lighthouse.md"] * 2
        assert (rag.outdated, rag.embedder.name, rag.index.recipe.passage_tokens) == ("", "other", 40)
        assert rag.ask(ASKED).status == "answered"
        assert rag.text("mill.txt").startswith("The mill at Lindal")
    with reopened(tmp_path / "home", OtherEmbedder(), passage_tokens=40) as rag:
        assert rag.outdated == ""
        assert rag.ask(ASKED).status == "answered"


def test_a_rebuild_keeps_what_was_removed_meanwhile_removed(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
    with reopened(tmp_path / "home", FakeEmbedder(), passage_tokens=40) as rag:
        rag.rebuild(lambda p: rag.remove(["lighthouse.md"]) if p.done == 1 else None)
        assert [d.source for d in rag.documents()] == ["mill.txt"]


def test_an_ingest_makes_an_outdated_index_anew_first(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
    with reopened(tmp_path / "home", FakeEmbedder(), passage_tokens=40) as rag:
        assert outcome(rag.ingest([corpus])) == {"unchanged": ("lighthouse.md", "mill.txt")}
        assert rag.outdated == ""


def test_without_its_embedder_an_outdated_index_is_not_searched_but_made_anew(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
    with reopened(tmp_path / "home", OtherEmbedder()) as rag:
        with pytest.raises(
            StoreError, match=r"with the embedder 'fake', not 'other'\. `rag ingest PATH`.*cannot be searched"
        ):
            rag.ask(ASKED)
        rag.rebuild()
        assert rag.ask(ASKED).status == "answered"


def test_a_rebuild_that_breaks_off_leaves_the_old_index(tmp_path: Path, corpus: Path) -> None:
    class Broken(OtherEmbedder):
        def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
            if len(texts) > 1:
                raise ModelError("It broke.")
            return super().embed_documents(texts)

    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
    with reopened(tmp_path / "home", Broken(), FakeEmbedder()) as rag:
        with pytest.raises(ModelError, match="It broke"):
            rag.rebuild()
        assert rag.ask(ASKED).status == "answered"
        assert rag.outdated
    assert len(list((tmp_path / "home" / "index").glob("g-*"))) == 1


# -- answers ------------------------------------------------------------------------------------------------------


def test_an_answer_is_streamed_with_marks_and_cites_the_words_that_support_it(rag: Rag) -> None:
    events = list(rag.stream(ASKED))
    assert isinstance(events[0], Retrieved)
    answer = answer_of(events)
    assert (answer.status, answer.text) == ("answered", f"{BUILT} [1]")
    assert streamed(events) == answer.text
    [sentence] = answer.sentences
    [citation] = answer.citations
    assert (sentence.text, sentence.support, sentence.citations) == (BUILT, "quoted", (1,))
    assert rag.text(citation.source)[citation.start : citation.end] == citation.quote == BUILT
    assert (citation.author, citation.date, citation.heading) == (
        "Ida Holm",
        "1931-05-02",
        ("The Farrow lighthouse", "Building"),
    )
    assert answer.passages == events[0].passages
    assert answer.model == "fake-llm"
    assert {"search_s", "first_token_s", "total_s"} <= set(answer.timings)


def test_ask_is_the_last_event_of_the_stream(rag: Rag) -> None:
    asked, done = rag.ask(ASKED), answer_of(list(rag.stream(ASKED)))
    assert (asked.text, asked.citations, asked.fingerprint) == (done.text, done.citations, done.fingerprint)


@pytest.mark.parametrize(
    "reply",
    [
        f"{BUILT} It cost 4,200 crowns.",
        f"  {BUILT}\n\nIt cost   4,200 crowns. \n",
        "It cost 4,200 crowns. Edna Marsh built the lighthouse in 1887. It cost 4,200 crowns.",
    ],
)
def test_what_was_streamed_is_the_text_of_the_answer(rag: Rag, reply: str) -> None:
    says(rag, reply)
    events = list(rag.stream(ASKED_BOTH))
    assert answer_of(events).status == "answered"
    assert streamed(events) == answer_of(events).text


def test_marks_that_the_model_writes_never_reach_the_reader(rag: Rag) -> None:
    says(rag, f"{BUILT[:-1]} [7]. It cost 4,200 crowns [3, 9].")
    events = list(rag.stream(ASKED_BOTH))
    assert answer_of(events).text == streamed(events) == f"{BUILT} [1] It cost 4,200 crowns. [2]"


def test_the_evidence_that_a_model_names_is_cited_if_it_holds_the_sentence(rag: Rag, tmp_path: Path) -> None:
    guide = "# A guide\n\nEdna Marsh built the lighthouse on Farrow Point in 1887. It is painted white.\n"
    rag.ingest([write(tmp_path / "more", guide=guide)])
    said = "It was Edna Marsh who built the lighthouse on Farrow Point in 1887."
    rag.llm = llm = FakeLLM(said, cites=True)
    unnamed = rag.ask(ASKED).citations[0].source
    prompt = llm.prompts[-1][-1].content
    codes = {text: code for code, text in re.findall(r"\[(e-[a-z2-7]{4})\] ([^\[\n]+)", prompt)}

    def cited(code: str) -> str:
        rag.llm = FakeLLM(f"{said} [{code}]", cites=True)
        return rag.ask(ASKED).citations[0].source

    assert sorted(cited(code) for text, code in codes.items() if "1887" in text) == ["guide.md", "lighthouse.md"]
    assert {cited(code) for code in ("e-zzzz", codes["It is painted white."])} == {unnamed}


def test_a_place_is_cited_under_one_number(rag: Rag) -> None:
    says(rag, f"It cost 4,200 crowns. {BUILT} The cost was 4,200 crowns.")
    answer = rag.ask(ASKED_BOTH)
    assert [s.citations for s in answer.sentences] == [(1,), (2,), (1,)]
    assert [c.number for c in answer.citations] == [1, 2]


def test_an_answer_from_a_spreadsheet_cites_the_row(rag: Rag, tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text('Harbour,Herring\nFarrow,"4,200"\nLindal,15\n')
    rag.ingest([tmp_path / "sales.csv"])
    says(rag, "Harbour Farrow: herring 4,200.")
    [citation] = rag.ask("How much herring had the harbour of Farrow?").citations
    assert (citation.source, citation.sheet, citation.row) == ("sales.csv", None, 2)
    assert citation.quote == "Harbour: Farrow; Herring: 4,200"


def test_an_answer_with_a_sentence_that_nothing_supports_is_partial(rag: Rag) -> None:
    says(rag, f"{BUILT} Bees visit lavender in summer.")
    events = list(rag.stream(ASKED))
    answer = answer_of(events)
    assert answer.status == "partial"
    assert [s.support for s in answer.sentences] == ["quoted", "unsupported"]
    assert answer.text == f"{BUILT} [1] Bees visit lavender in summer."
    assert streamed(events) == answer.text


def refused(answer: Answer, reason: str) -> bool:
    empty = answer.sentences == () and answer.citations == ()
    return (answer.status, answer.reason, answer.text, empty) == ("not_in_documents", reason, REFUSAL, True)


def test_off_topic_is_refused_without_a_call_of_the_model(tmp_path: Path, corpus: Path) -> None:
    llm = FakeLLM(BUILT)
    with fake_rag(tmp_path / "home", llm, gate=0.99) as rag:
        rag.ingest([corpus])
        answer = rag.ask("Where do penguins sleep in winter?")
    assert refused(answer, "off_topic")
    assert answer.passages
    assert llm.prompts == []


def test_what_the_model_doubts_is_refused_before_a_word_is_written(rag: Rag) -> None:
    llm = says(rag, BUILT, yes=0.01)
    events = list(rag.stream(ASKED))
    assert refused(answer_of(events), "not_stated")
    assert streamed(events) == ""
    assert llm.prompts == []
    assert answer_of(events).passages


def test_what_is_answered_of_a_question_with_two_parts_is_answered_and_the_rest_is_named(rag: Rag) -> None:
    says(rag, BUILT, yes=lambda prompt: 0.1 if "goat" in prompt.rpartition("\n")[2] else 0.9)
    answer = rag.ask("Who built the lighthouse on Farrow Point, and what was the name of its goat?")
    assert (answer.status, answer.missing) == ("partial", "what was the name of its goat?")
    assert [c.quote for c in answer.citations] == ["The lighthouse on Farrow Point was built by Edna Marsh in 1887."]


def test_a_part_that_the_model_answers_from_memory_is_missing_and_what_it_said_is_left_out(rag: Rag) -> None:
    says(rag, f"{BUILT} The king of Norway is Harald.")
    answer = rag.ask("Who built the lighthouse on Farrow Point, and who is the king of Norway?")
    assert (answer.status, answer.missing) == ("partial", "who is the king of Norway?")
    assert answer.text == f"{BUILT} [1]"


def test_an_answer_that_only_says_the_question_again_is_a_refusal(rag: Rag) -> None:
    says(rag, "The lighthouse on Farrow Point was built by Edna Marsh.")
    assert refused(
        rag.ask("How many rooms has the lighthouse on Farrow Point that was built by Edna Marsh?"), "not_stated"
    )


def test_what_is_partly_supported_is_said_only_where_the_model_was_sure(rag: Rag) -> None:
    half = "The lighthouse on Farrow Point was built by Edna Marsh in 1887 of granite."
    says(rag, half, yes=0.75)
    assert refused(rag.ask(ASKED), "not_stated")
    says(rag, half, yes=0.9)
    assert [s.support for s in rag.ask(ASKED).sentences] == ["partial"]
    says(rag, BUILT, yes=0.75)
    assert rag.ask(ASKED).status == "answered"


def test_a_question_no_part_of_which_is_answered_is_refused(rag: Rag) -> None:
    says(rag, BUILT, yes=0.1)
    answer = rag.ask("Who built the lighthouse on Farrow Point, and what was the name of its goat?")
    assert (answer.status, answer.missing, answer.reason) == ("not_in_documents", None, "not_stated")


def test_who_wrote_an_article_is_read_in_its_byline(empty: Rag, tmp_path: Path) -> None:
    text = (
        "# Barley\n\nBy Ida Holm, Lindal Press\n\nHens ran about.\n\n"
        "An article about the mill said that the mill at Lindal ground barley."
    )
    empty.ingest([write(tmp_path / "docs", mill=text, fair="# The fair\n\nBy Tomas Rell\n\nThe fair sold hens.")])
    llm = says(empty, "Ida Holm wrote the article about the mill.", yes=0.3)
    answer = empty.ask("Who wrote the article about the mill at Lindal?")
    evidence = llm.prompts[-1][-1].content.rpartition("Question:")[0]
    assert "By Ida Holm, Lindal Press" in evidence
    assert "Tomas Rell" not in evidence and "Hens" not in evidence
    assert answer.citations[0].quote == "By Ida Holm, Lindal Press"
    assert empty.ask("Who wrote the article about the eclipse?").status == "not_in_documents"


def test_each_part_of_a_question_has_its_share_of_the_evidence(rag: Rag) -> None:
    llm = says(rag, BUILT)
    rag.ask("Who was the first keeper of the lighthouse, and how large was the wheel of the mill at Lindal?")
    prompt = llm.prompts[-1][-1].content
    assert "The first keeper was Tomas Rell." in prompt
    assert "Its wheel measured 6 metres across." in prompt


def test_a_question_that_takes_for_granted_what_the_documents_deny_is_told_so(rag: Rag) -> None:
    says(rag, BUILT, yes=0.1)
    answer = rag.ask("Why was the lighthouse on Farrow Point built by Edna Marsh in 1904?")
    assert refused(answer, "contradicted")
    assert answer.notes == (f"The documents say otherwise: “{BUILT}” (lighthouse.md)",)


def test_a_model_that_tells_no_probability_is_told_of_a_false_premise_too(rag: Rag) -> None:
    says(rag, "NOT FOUND", yes=None)
    assert refused(rag.ask("Why was the lighthouse on Farrow Point built by Edna Marsh in 1904?"), "contradicted")


def test_two_documents_that_disagree_are_both_cited_and_the_conflict_is_said(rag: Rag, tmp_path: Path) -> None:
    other = "The lighthouse on Farrow Point was built by Edna Marsh in 1891."
    rag.ingest([write(tmp_path / "other", guide=f"# A guide to the coast\n\n{other}\n")])
    says(rag, BUILT)
    answer = rag.ask("When was the lighthouse on Farrow Point built?")
    assert {(c.quote, c.support) for c in answer.citations} == {(BUILT, "quoted"), (other, "partial")}
    assert answer.sentences[0].citations == (1, 2)
    assert answer.notes == (f"The documents disagree. guide.md says: “{other}”",)


def names_what_stands_there(messages: Sequence[Message]) -> str:
    """One sentence for each mill of the prompt's passages, and one that nothing says."""
    found = re.findall(r"The mill at \w+ grinds \w+\.", messages[-1].content)
    return "\n".join(f"- {sentence}" for sentence in [*found, "The mill at Elsewhere grinds gold."])


def test_a_list_over_all_documents_is_read_through_step_by_step_and_says_how_much_was_read(
    empty: Rag, tmp_path: Path
) -> None:
    places = [f"Place{chr(65 + i)}" for i in range(20)]
    mills = {f"mill{i:02}": f"The mill at {place} grinds barley.\n" for i, place in enumerate(places)}
    empty.ingest([write(tmp_path / "mills", **mills)])
    empty.settings = empty.settings.model_copy(update={"evidence_tokens": 40})
    empty.llm = llm = FakeLLM(names_what_stands_there)
    answer = empty.ask("List all the mills and what they grind.")
    assert 1 < len(llm.prompts) <= SURVEY_STEPS
    assert answer.status == "answered"
    said = [s.text for s in answer.sentences]
    assert len(said) == len(set(said)) > 5
    assert set(said) <= {text.strip() for text in mills.values()}
    assert {c.source for c in answer.citations} <= {hit.passage.source for hit in answer.passages}
    assert answer.notes[0].startswith("Read 20 of 20 passages;")


def test_a_list_takes_no_more_steps_where_sentences_fill_them_badly(empty: Rag, tmp_path: Path) -> None:
    grain = "grinds barley, oats, rye, wheat and malt for all the bakers of the coast and for the inns of both towns behind the hills"
    mills = {f"mill{i:02}": f"The mill at Place{chr(65 + i)} {grain}.\n" for i in range(20)}
    empty.ingest([write(tmp_path / "mills", **mills)])
    empty.settings = empty.settings.model_copy(update={"evidence_tokens": 50})
    empty.llm = llm = FakeLLM("NOT FOUND")
    empty.ask("List all the mills and what they grind.")
    assert len(llm.prompts) == SURVEY_STEPS


def test_a_list_of_what_nothing_says_is_a_refusal(rag: Rag) -> None:
    says(rag, "NOT FOUND")
    assert refused(rag.ask("List all the keepers of the lighthouse on Farrow Point."), "not_stated")


@pytest.mark.parametrize("reply", ["NOT FOUND", "NOT FOUND.", "not found", "Bees visit lavender in summer."])
@pytest.mark.parametrize("yes", [1.0, None])
def test_a_reply_without_support_is_a_refusal(rag: Rag, reply: str, yes: float | None) -> None:
    says(rag, reply, yes=yes)
    assert refused(rag.ask(ASKED), "not_stated")


def test_a_model_that_tells_no_probability_may_refuse_in_words(rag: Rag) -> None:
    llm = says(rag, "NOT FOUND", yes=None)
    rag.ask(ASKED)
    assert "NOT FOUND" in llm.prompts[-1][0].content


def test_a_refusal_is_in_the_language_of_the_asker(rag: Rag) -> None:
    rag.llm = None
    rag.settings = rag.settings.model_copy(update={"gate": 1.0})
    answer = rag.ask("¿Dónde duermen los pingüinos en invierno?")
    assert (answer.status, answer.text) == ("not_in_documents", "Los documentos no lo dicen.")


def test_a_question_in_another_language_is_answered_in_it_and_cited_in_the_documents_own(rag: Rag) -> None:
    def reply(messages: Sequence[Message]) -> str:
        prompt = messages[-1].content
        if prompt.startswith("Translate into English"):
            return ASKED
        if prompt.startswith("Translate into Spanish"):
            return "El faro lo construyó Edna Marsh en 1887."
        return BUILT

    rag.llm = FakeLLM(reply)
    events = list(rag.stream("¿Quién construyó el faro de Farrow Point?"))
    answer = answer_of(events)
    assert (answer.status, answer.text) == ("answered", "El faro lo construyó Edna Marsh en 1887. [1]")
    assert answer.citations[0].quote == BUILT
    assert streamed(events) == answer.text
    assert answer.question == "¿Quién construyó el faro de Farrow Point?"


@pytest.mark.parametrize("translated", ["El faro lo construyó Edna Marsh en 1878.", ""])
def test_a_translation_with_another_figure_or_none_is_not_said(rag: Rag, translated: str) -> None:
    def reply(messages: Sequence[Message]) -> str:
        prompt = messages[-1].content
        if prompt.startswith("Question:"):
            return ASKED
        return translated if prompt.startswith("Translate into Spanish") else BUILT

    rag.llm = FakeLLM(reply)
    events = list(rag.stream("¿Quién construyó el faro de Farrow Point?"))
    assert answer_of(events).text == streamed(events) == f"{BUILT} [1]"


# -- without a model ----------------------------------------------------------------------------------------------


def test_without_a_model_the_best_sentences_are_quoted(tmp_path: Path, corpus: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest([corpus])
        events = list(rag.stream(ASKED))
    answer = answer_of(events)
    assert (answer.status, answer.model, answer.notes) == ("answered", "extractive", ())
    assert answer.sentences[0].text == BUILT
    assert all(s.support == "quoted" for s in answer.sentences)
    assert streamed(events) == answer.text


def test_marks_of_the_documents_are_no_marks_of_an_answer(tmp_path: Path) -> None:
    with fake_rag(tmp_path / "home") as rag:
        rag.ingest(
            [write(tmp_path / "docs", mill="# The mill\n\nEdna Marsh built the mill at Lindal in 1887.[3][12]\n")]
        )
        answer = rag.ask("Who built the mill at Lindal?")
    assert answer.text == "Edna Marsh built the mill at Lindal in 1887. [1]"
    assert answer.citations[0].quote == "Edna Marsh built the mill at Lindal in 1887.[3][12]"


def test_where_the_weights_are_missing_a_note_says_how_to_get_them(rag: Rag) -> None:
    rag.llm = None
    assert rag.settings.llm == "local"
    answer = rag.ask(ASKED)
    assert (answer.status, answer.notes) == ("answered", (NO_WEIGHTS,))
    assert "rag weights" in NO_WEIGHTS


# -- follow-ups ---------------------------------------------------------------------------------------------------

TALK = (Message("user", ASKED), Message("assistant", BUILT))


def test_a_follow_up_is_asked_as_a_question_of_its_own_and_shown(rag: Rag) -> None:
    def reply(messages: Sequence[Message]) -> str:
        rewriting = "Last question: And what did it cost?" in messages[-1].content
        return "What did the lighthouse on Farrow Point cost?" if rewriting else "It cost 4,200 crowns."

    rag.llm = FakeLLM(reply)
    events = list(rag.stream("And what did it cost?", TALK))
    answer = answer_of(events)
    assert isinstance(events[0], Retrieved)
    assert events[0].standalone_question == "What did the lighthouse on Farrow Point cost?"
    assert answer.standalone_question == "What did the lighthouse on Farrow Point cost?"
    assert (answer.question, answer.text) == ("And what did it cost?", "It cost 4,200 crowns. [1]")


def test_where_the_rewrite_is_of_no_use_the_question_before_is_put_in_front(rag: Rag) -> None:
    says(rag, "It cost 4,200 crowns.")
    assert rag.ask("And what did it cost?", TALK).standalone_question == f"{ASKED} And what did it cost?"


def test_a_follow_up_without_a_model_is_searched_with_the_question_before(rag: Rag) -> None:
    rag.llm = None
    assert rag.ask("And what did it cost?", TALK).standalone_question == f"{ASKED} And what did it cost?"


def test_without_history_the_question_stands_as_it_is(rag: Rag) -> None:
    assert rag.ask(f"  {ASKED} \n").standalone_question == ASKED


# -- failures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["", " \n\t", "?" * 50_000, "x" * 4001])
def test_an_empty_or_endless_question_is_bad_input(rag: Rag, question: str) -> None:
    with pytest.raises(InputError) as caught:
        rag.ask(question)
    assert caught.value.field == "question"
    with pytest.raises(InputError) as caught:
        rag.search(question)
    assert caught.value.field == "query"


def test_bad_input_is_told_before_the_stream_is_read(rag: Rag) -> None:
    with pytest.raises(InputError):
        rag.stream("")


def test_a_question_of_4000_characters_is_read(rag: Rag) -> None:
    assert rag.ask("Who built the lighthouse on Farrow Point? ".ljust(4000, "?")).status == "answered"


def test_an_unknown_source_is_bad_input(rag: Rag) -> None:
    with pytest.raises(InputError, match=r"No document 'gone\.md'") as caught:
        rag.ask(ASKED, sources=["mill.txt", "gone.md"])
    assert caught.value.field == "sources"


def test_nothing_to_search_is_an_error(empty: Rag) -> None:
    with pytest.raises(EmptyIndexError, match="rag ingest PATH"):
        empty.ask(ASKED)
    with pytest.raises(EmptyIndexError):
        empty.search("lighthouse")


def test_nothing_is_asked_of_the_model_where_nothing_can_be_searched(empty: Rag) -> None:
    assert isinstance(empty.llm, FakeLLM)
    with pytest.raises(EmptyIndexError):
        empty.ask("And what did it cost?", TALK)
    assert empty.llm.prompts == []


@pytest.mark.parametrize("reply", ["", "  \n "])
def test_an_empty_reply_is_a_failure_and_no_answer(rag: Rag, reply: str) -> None:
    says(rag, reply)
    with pytest.raises(ModelError, match="empty answer"):
        rag.ask(ASKED)


@pytest.mark.parametrize("error", [ModelError("it broke"), ModelTimeout("it hangs"), StoreError("no disk")])
def test_a_failure_in_mid_answer_is_a_failure_and_no_answer(rag: Rag, error: ModelError) -> None:
    says(rag, "The lighthouse", error=error)
    with pytest.raises(type(error), match=str(error)):
        list(rag.stream(ASKED))


def test_closing_the_stream_stops_the_model(rag: Rag) -> None:
    llm = says(rag, BUILT)
    events = rag.stream(ASKED)
    assert any(isinstance(event, Delta) for event in events)  # up to the first word
    events.close()  # type: ignore[attr-defined]
    assert llm.closed_early == 1


# -- search -------------------------------------------------------------------------------------------------------


def test_search_gives_the_k_best_passages(rag: Rag) -> None:
    assert [h.passage.heading[-1] for h in rag.search("the first keeper and his goat", k=1)] == ["Keepers"]
    assert len(rag.search("the first keeper and his goat", k=3)) == 3


def test_sources_are_exact_names_or_folders(empty: Rag, tmp_path: Path) -> None:
    folder = write(tmp_path / "docs" / "mills", a="Mill one.", b="Mill two.").parent
    write(folder, mills="Mill three.")
    empty.ingest([folder])

    def sources(*names: str) -> set[str]:
        return {h.passage.source for h in empty.search("mill", sources=names)}

    assert sources() == {"mills/a.md", "mills/b.md", "mills.md"}
    assert sources("mills/") == {"mills/a.md", "mills/b.md"}
    assert sources("mills/a.md", "mills.md", "mills/a.md") == {"mills/a.md", "mills.md"}
    with pytest.raises(InputError):
        sources("mills")


def test_the_fingerprint_changes_with_what_can_change_an_answer(rag: Rag) -> None:
    before = rag.fingerprint
    rag.settings = rag.settings.model_copy(update={"timeout_s": 5.0})
    assert rag.fingerprint == before
    for change in ({"gate": 0.1}, {"llm": "local:/models/other.gguf"}, {"llm_base_url": "http://127.0.0.1:9/v1"}):
        rag.settings = rag.settings.model_copy(update=change)
        assert rag.fingerprint != before
        before = rag.fingerprint


# -- clutter ------------------------------------------------------------------------------------------------------


def test_scraped_clutter_is_found_and_cited_at_its_offsets(empty: Rag, tmp_path: Path) -> None:
    text = (
        "Share this: Facebook Twitter Email\r\n\r\nBy <u>Ida Holm</u> | 3 min read\r\n\r\n"
        "The <u>mill at Lindal</u> ground barley until 1902\\. Its wheel measured 6&nbsp;metres across.\r\n"
        "Subscribe to our newsletter!\r\n\r\n3 Comments\r\n\r\nEdna M. says:\r\nMy father lost a thumb there.\r\nReply\r\n"
    )
    (tmp_path / "mill.txt").write_bytes(text.encode())
    empty.ingest([tmp_path / "mill.txt"])
    says(empty, "The mill at Lindal ground barley until 1902.")
    answer = empty.ask("Until when did the mill at Lindal grind barley?")
    [citation] = answer.citations
    assert (answer.status, answer.sentences[0].support) == ("answered", "quoted")
    assert text[citation.start : citation.end] == citation.quote
    assert "<u>mill at Lindal</u>" in citation.quote
    says(empty, "Edna M. says that her father lost a thumb there.")
    assert "lost a thumb" in empty.ask("What did the father of Edna M. lose?").citations[0].quote


def test_a_search_does_not_wait_for_a_model_that_is_busy(tmp_path: Path, corpus: Path) -> None:
    class Busy(FakeLLM):
        busy = True

    llm = Busy("Who built the lighthouse?")
    with fake_rag(tmp_path / "home", llm) as rag:
        rag.ingest([corpus])
        assert rag.search("¿Quién construyó el faro de Farrow Point?")
        assert llm.prompts == []
        assert rag.asks_first("¿Quién construyó el faro de Farrow Point?", ())
        assert rag.asks_first("And when?", [Message("user", ASKED)])
        assert not rag.asks_first(ASKED, ())
