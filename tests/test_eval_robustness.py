from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from eval.dataset import Case, Gold
from eval.results import TrialError
from eval.robustness import Change, changed, follows, noise, paragraph, robustness, trials
from rag.errors import InputError, ModelTimeout
from rag.pipeline import Rag
from rag.types import Answer, Message
from tests.fakes import FakeLLM

MILL = "A village.\n\nThe mill at Lindal was built in 1902 by Edna Marsh. It ground barley.\n\nThe end."
INN = "The inn at Farrow has nine rooms."
TEXTS = {"mill.txt": MILL, "inn.txt": INN}
BUILT = Case("b", "When was the mill at Lindal built?", ("In 1902.",), (("1902",),), (Gold("mill.txt", 12, 58),))
ROOMS = Case("r", "How many rooms has the inn at Farrow?", ("Nine.",), gold=(Gold("inn.txt", 0, 33),))


def _answer(text: str, status: str = "answered") -> Answer:
    return Answer("?", "?", status, text, (), (), (), "fake", {}, "f")  # type: ignore[arg-type]


def test_a_paragraph_stands_between_empty_lines() -> None:
    assert paragraph(MILL, 12, 58) == "The mill at Lindal was built in 1902 by Edna Marsh. It ground barley."
    assert paragraph(INN, 4, 7) == INN


def test_a_figure_of_the_answer_is_changed_everywhere() -> None:
    text = "Built in 1902; in 1902 it cost 19,020 crowns."
    change = changed(text, BUILT, ["Built in 1902"])
    assert change == Change("1902", "1903", "Built in 1903; in 1903 it cost 19,020 crowns.", (("1902", "1903"),))


def test_a_name_is_changed_where_there_is_no_figure_and_the_question_keeps_its_own() -> None:
    who = replace(BUILT, question="Who built the mill?", keys=(("Edna Marsh", "Marsh"),))
    change = changed(MILL, who, [MILL])
    assert change is not None and change.old == "Edna Marsh" and "by Oswin Tarrel." in change.text
    named = replace(who, question="Which mill did Edna Marsh build?")
    assert changed(MILL, named, [MILL]) is None
    assert changed("It ground barley.", replace(BUILT, keys=(("barley",),)), ["It ground barley."]) is None


def test_an_answer_follows_when_it_says_the_new_and_not_the_old() -> None:
    change = Change("1902", "1903", "", (("1902", "1903"),))
    assert follows(change, _answer("It was built in 1903. [1]")) == 1
    assert follows(change, _answer("It was built in 1902, not 1903.")) == 0
    assert follows(change, _answer("The documents do not say.", "not_in_documents")) == 0


def test_a_figure_before_a_word_of_scale_can_be_followed() -> None:
    text = "The mill cost 2.8 million crowns."
    cost = replace(BUILT, question="What did the mill cost?", keys=(("2.8 million", "2,800,000"),))
    change = changed(text, cost, [text])
    assert change is not None and change.text == "The mill cost 2.9 million crowns."
    assert follows(change, _answer("It cost 2.9 million crowns. [1]")) == 1
    assert follows(change, _answer("It cost 2.8 million crowns. [1]")) == 0
    assert changed(text, replace(cost, keys=(("2.8m",),)), [text]) is None
    assert changed(text, replace(cost, question="Why did it cost 2.8 million?"), [text]) is None


def test_every_fact_that_is_needed_stands_in_a_trial() -> None:
    mill, again, gone = Gold("mill.txt", 12, 58, 0), Gold("mill.txt", 59, 77, 0), Gold("gone.txt", 0, 3, 1)
    assert trials([replace(BUILT, gold=(mill, again, gone))], TEXTS) == []
    assert len(trials([replace(BUILT, gold=(mill, again, replace(gone, group=0)))], TEXTS)) == 1


def test_follow_ups_and_questions_without_gold_in_the_documents_are_left_out() -> None:
    follow_up = replace(BUILT, id="f", history=(Message("user", "Hm?"),))
    lost = replace(BUILT, id="l", gold=(Gold("gone.txt", 0, 3),))
    half = replace(BUILT, id="h", gold=(*BUILT.gold, Gold("gone.txt", 0, 3)))
    made = trials([BUILT, follow_up, lost, half, replace(ROOMS, answerable=False)], TEXTS)
    assert [trial.case.id for trial in made] == ["b"]


def test_noise_is_of_other_documents() -> None:
    again = replace(BUILT, id="b2")
    made = trials([BUILT, again, ROOMS], TEXTS)
    assert noise(made[0], made) == ["r"]
    assert noise(made[2], made) == ["b", "b2"]


def test_each_question_is_asked_alone_in_noise_and_of_the_changed_document(rag: Rag) -> None:
    def reply(messages: Sequence[Message]) -> str:
        asked = messages[-1].content
        if "rooms has" in asked:
            return "The inn at Farrow has nine rooms."
        year = "1903" if "1903" in asked else "1902"
        return f"The mill at Lindal was built in {year} by Edna Marsh."

    assert isinstance(rag.llm, FakeLLM)
    rag.llm.reply = reply
    before = rag.index.counts()
    with robustness(rag, [BUILT, ROOMS], TEXTS) as measured:
        assert measured(BUILT) == {"right_alone": 1.0, "right_in_noise": 1.0, "follows_change": 1.0}
        assert measured(ROOMS) == {"right_alone": 1.0, "right_in_noise": 1.0, "follows_change": None}
        assert measured(replace(BUILT, id="x", answerable=False))["right_alone"] is None
    assert rag.index.counts() == before


def test_a_trial_that_fails_counts_nothing_and_the_others_stand(rag: Rag) -> None:
    def reply(messages: Sequence[Message]) -> str:
        if "1903" in messages[-1].content:
            raise ModelTimeout("no word within 60 s")
        return "The mill at Lindal was built in 1902 by Edna Marsh."

    assert isinstance(rag.llm, FakeLLM)
    rag.llm.reply = reply
    with robustness(rag, [BUILT, ROOMS], TEXTS) as measured, pytest.raises(TrialError) as failed:
        measured(BUILT)
    assert str(failed.value) == "follows_change: ModelTimeout: no word within 60 s"
    assert failed.value.values == {"right_alone": 1.0, "right_in_noise": 1.0, "follows_change": 0.0}


def test_questions_without_any_gold_span_are_refused(rag: Rag, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--robust needs some"), robustness(rag, [replace(ROOMS, gold=())], TEXTS):
        pass
