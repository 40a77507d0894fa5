"""Conversations in a real SQLite file, and over HTTP."""

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from eval.dataset import Gold, load_cases
from rag.api import create_app
from rag.conversations import Conversation, Conversations, Turn, as_markdown
from rag.errors import InputError, StoreError
from rag.http.access import Caller
from rag.http.conversations import READER, Readers, owner_of
from rag.keys import Keys
from rag.pipeline import Rag
from rag.types import Answer, AnswerSentence, Citation, Hit, Message, Passage, Sentence

PASSAGE = Passage("bees.pdf", "On bees", 0, 21, "A hive has one queen.", (Sentence(0, 21),), ("The hive",), page=3)
CITATION = Citation(1, "bees.pdf", "On bees", 0, 21, "A hive has one queen.", "quoted", page=3, heading=("The hive",))
ANSWER = Answer(
    question="How many queens?",
    standalone_question="How many queens?",
    status="answered",
    text="A hive has one queen. [1]",
    sentences=(AnswerSentence("A hive has one queen.", "quoted", (1,)),),
    citations=(CITATION,),
    passages=(Hit(PASSAGE, 0.7, {"dense": 1}, (0.9,)),),
    model="fake",
    timings={"total_s": 3.1},
    fingerprint="f",
)
QUEENS = Turn("How many queens?", passages=ANSWER.passages, answer=ANSWER)
FAILED = Turn("And how old?", failure="The model is away.")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Conversations]:
    kept = Conversations(tmp_path / "conversations.sqlite")
    yield kept
    kept.close()


def test_a_conversation_comes_back_as_it_was_also_from_a_new_process(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    assert kept.put("ann", key, (QUEENS, FAILED)) == key
    again = Conversations(kept.path)
    conversation, turns = again.get("ann", key)
    again.close()
    assert (conversation.title, conversation.turns) == ("How many queens?", 2)
    assert turns == (QUEENS, FAILED)


def test_nobody_reads_or_deletes_the_conversation_of_another(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    assert kept.listed("bob") == []
    for call in (kept.get, kept.remove):
        with pytest.raises(InputError, match="No conversation"):
            call("bob", key)
    assert kept.put("bob", key, (FAILED,)) != key  # begins one of his own
    assert kept.get("ann", key)[1] == (QUEENS,)


def test_an_edited_question_takes_the_place_of_all_that_followed(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    kept.put("ann", key, (QUEENS, FAILED))
    edited = replace(QUEENS, question="How many drones?")
    kept.put("ann", key, (edited,))
    conversation, turns = kept.get("ann", key)
    assert conversation.title == "How many drones?"
    assert turns == (edited,)


def test_what_was_deleted_in_another_tab_begins_anew_whole(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    kept.remove("ann", key)
    new = kept.put("ann", key, (QUEENS, FAILED))
    assert kept.get("ann", new)[1] == (QUEENS, FAILED)


def test_the_latest_stands_first_and_a_search_reads_questions_and_answers_without_accents(kept: Conversations) -> None:
    first = kept.put("ann", "", (QUEENS,))
    second = kept.put("ann", "", (Turn("¿Cuántas ÁGUILAS hay?", stopped=True),))
    assert [c.id for c in kept.listed("ann")] == [second, first]
    assert [c.id for c in kept.listed("ann", "aguilas")] == [second]
    assert [c.id for c in kept.listed("ann", "ONE hive")] == [first]
    assert kept.listed("ann", "100%") == []


def test_an_answer_that_the_servers_end_cut_off_counts_as_stopped(kept: Conversations) -> None:
    key = kept.put("ann", "", (Turn("How many?", text="A hive"),))
    assert kept.get("ann", key)[1] == (Turn("How many?", text="A hive", stopped=True),)


def test_a_turn_in_an_unknown_form_keeps_its_question_and_text(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    with sqlite3.connect(kept.path) as db:
        db.execute("""UPDATE turns SET turn = '{"question": "Q?", "answer": {"text": "A."}}'""")
    db.close()
    assert kept.get("ann", key)[1] == (Turn("Q?", text="A.", stopped=True),)


def test_feedback_stays_with_a_copy_of_the_answer_and_a_second_word_replaces_the_first(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    kept.judge("ann", key, 1, True)
    kept.judge("ann", key, 1, False, " too short ")
    kept.remove("ann", key)
    (said,) = kept.feedback("ann")
    assert (said.helpful, said.reason, said.turn) == (False, "too short", QUEENS)
    assert kept.feedback("bob") == []
    assert len(kept.feedback()) == 1


def test_feedback_on_a_turn_that_is_not_there_is_refused(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    with pytest.raises(InputError, match="no turn 2"):
        kept.judge("ann", key, 2, True)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.sqlite").write_text("no database, but long enough to be looked at" * 30)
    with pytest.raises(StoreError, match=r"c\.sqlite"):
        Conversations(tmp_path / "c.sqlite")


def test_markdown_carries_every_citation(kept: Conversations) -> None:
    key = kept.put("ann", "", (QUEENS,))
    kept.put("ann", key, (QUEENS, FAILED))
    text = as_markdown(*kept.get("ann", key))
    assert "# How many queens?" in text
    assert "A hive has one queen. [1]" in text
    assert "[1] “A hive has one queen.” — On bees; The hive; page 3; bees.pdf, characters 0 to 21; quoted" in text
    assert "Failed: The model is away." in text


def test_what_stayed_open_and_what_was_noted_are_exported_too() -> None:
    answer = replace(ANSWER, status="partial", missing="And how old?", notes=("The documents disagree.",))
    text = as_markdown(Conversation("c", "Bees", "2026-01-01", "2026-01-01", 1), (Turn("How many?", answer=answer),))
    assert "Not answered: And how old?" in text
    assert "The documents disagree." in text


# -- over HTTP ------------------------------------------------------------------------------------------------------

NAME = "n" * 32


@pytest.fixture
def client(rag: Rag, kept: Conversations) -> TestClient:
    return TestClient(create_app(rag, conversations=kept), base_url="http://127.0.0.1", cookies={READER: NAME})


def test_the_endpoint_lists_searches_exports_and_deletes(client: TestClient, kept: Conversations) -> None:
    key = kept.put(owner_of(f"{READER}={NAME}"), "", (QUEENS,))
    assert [c["id"] for c in client.get("/v1/conversations").json()["conversations"]] == [key]
    assert client.get("/v1/conversations", params={"search": "wasps"}).json() == {"conversations": []}
    whole = client.get(f"/v1/conversations/{key}")
    assert whole.json()["turns"][0]["answer"] == json.loads(json.dumps(ANSWER.as_dict()))
    assert whole.headers["content-disposition"] == 'attachment; filename="How-many-queens.json"'
    assert "page 3" in client.get(f"/v1/conversations/{key}", params={"format": "markdown"}).text
    assert client.delete(f"/v1/conversations/{key}").status_code == 204
    assert client.get(f"/v1/conversations/{key}").status_code == 422


def test_browsers_without_a_login_are_separate(client: TestClient, kept: Conversations) -> None:
    key = kept.put(owner_of(f"{READER}={NAME}"), "", (QUEENS,))
    client.cookies.clear()
    client.cookies.set(READER, "m" * 32)
    assert client.get("/v1/conversations").json() == {"conversations": []}
    assert client.get(f"/v1/conversations/{key}").status_code == 422


def test_the_conversations_of_a_key_are_there_in_each_of_its_browsers_and_in_no_others(
    rag: Rag, kept: Conversations, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    secrets = {name: keys.add(name, "read") for name in ("ana", "ben")}
    app = create_app(rag, keys=keys, conversations=kept)
    kept.put(owner_of(None, Caller("ana", "read")), "", (QUEENS,))

    def seen(name: str, cookie: str) -> int:
        headers = {"Authorization": f"Bearer {secrets[name]}"}
        client = TestClient(app, base_url="http://127.0.0.1", cookies={READER: cookie}, headers=headers)
        return len(client.get("/v1/conversations").json()["conversations"])

    assert (seen("ana", "a" * 32), seen("ana", "b" * 32), seen("ben", "a" * 32)) == (1, 1, 0)


def test_feedback_is_taken_and_given_back(client: TestClient, kept: Conversations) -> None:
    key = kept.put(owner_of(f"{READER}={NAME}"), "", (QUEENS,))
    said = client.post("/v1/feedback", json={"conversation": key, "number": 1, "helpful": False, "reason": "short"})
    assert said.status_code == 201
    (kept_word,) = client.get("/v1/feedback").json()["feedback"]
    assert (kept_word["helpful"], kept_word["reason"]) == (False, "short")
    assert kept_word["turn"]["answer"]["citations"][0]["quote"] == "A hive has one queen."


def test_an_answer_becomes_a_question_that_the_eval_reads_once(client: TestClient, kept: Conversations) -> None:
    owner = owner_of(f"{READER}={NAME}")
    key = kept.put(owner, "", (QUEENS,))
    refusal = replace(ANSWER, status="not_in_documents", text="The documents do not say.", sentences=(), citations=())
    kept.put(owner, key, (QUEENS, replace(QUEENS, question="And drones?", answer=refusal)))
    kept.put(owner, key, (QUEENS, replace(QUEENS, question="And drones?", answer=refusal), FAILED))
    body = {"conversation": key, "number": 1}
    assert client.post("/v1/evals/questions", json=body).json()["questions"] == 1
    assert client.post("/v1/evals/questions", json=body).json()["questions"] == 1
    assert client.post("/v1/evals/questions", json=body | {"number": 2}).json()["questions"] == 2
    assert client.post("/v1/evals/questions", json=body | {"number": 3}).status_code == 422
    assert client.post("/v1/evals/questions", json=body | {"number": 4}).status_code == 422
    first, second = load_cases(kept.path.with_name("questions.jsonl"))
    assert (first.question, first.answers, first.answerable) == ("How many queens?", ("A hive has one queen.",), True)
    assert first.gold == (Gold("bees.pdf", 0, 21, quote="A hive has one queen."),)
    assert (second.question, second.answerable) == ("And drones?", False)
    assert second.history == (Message("user", "How many queens?"), Message("assistant", "A hive has one queen."))


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/evals/questions"])
def test_half_a_character_in_a_request_is_bad_input(client: TestClient, path: str) -> None:
    body = b'{"conversation": "\\ud800", "number": 1, "helpful": true}'
    if path.endswith("questions"):
        body = body.replace(b', "helpful": true', b"")
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "conversation")


def test_the_page_names_a_browser_once_and_keeps_a_good_name(rag: Rag) -> None:
    app = create_app(rag)
    app.get("/")(lambda: "page")
    app.add_middleware(Readers)
    client = TestClient(app, base_url="http://127.0.0.1")
    given = client.get("/").headers["set-cookie"]
    assert given.startswith(f"{READER}=") and "HttpOnly" in given and "SameSite=Lax" in given
    assert "set-cookie" not in client.get("/").headers
    bad = TestClient(app, base_url="http://127.0.0.1", cookies={READER: "short"})
    assert "set-cookie" in bad.get("/").headers


def test_an_owner_is_no_cookies_value_and_a_bad_cookie_is_nobodys() -> None:
    assert NAME not in owner_of(f"{READER}={NAME}")
    assert owner_of(None) == owner_of(f"{READER}=short") == owner_of("a=\x00;;=") == "anybody"
