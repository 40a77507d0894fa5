"""The conversations and the sources beside the chat, read back with a parser."""

from rag.conversations import Conversation
from rag.index import Stored
from tests.test_ui_render import Node, Tree
from ui.side import PICKED_FROM, render_conversations, render_pick


def tree(html: str) -> Node:
    return Tree(html).open[0]


def stored(source: str, title: str = "") -> Stored:
    return Stored(source, title, 1, 10, "0" * 64, f"/x/{source}", "/x")


def test_each_conversation_is_a_link_with_its_exports() -> None:
    found = tree(render_conversations([Conversation("ab12", 'What "is" <i>?', "", "", 1)]))
    assert found.one("a", "fn-open").attributes["href"] == "/?c=ab12"
    assert found.one("a", "fn-open").text == 'What "is" <i>?'
    menu = found.one(cls="fn-menu").all("a")
    assert [a.attributes["href"] for a in menu] == [
        "/v1/conversations/ab12?format=markdown",
        "/v1/conversations/ab12",
    ]


def test_an_empty_list_says_why_it_is_empty() -> None:
    assert tree(render_conversations([])).text == "No conversations yet."
    assert tree(render_conversations([], "queen")).text == "No conversation holds these words."


def test_sources_stand_in_their_folders_each_with_a_checked_box() -> None:
    found = tree(render_pick([stored("a/b/one.md", "One"), stored("a/two.md"), stored("<three>.md")]))
    boxes = [box.attributes for box in found.all("input")]
    assert [box["data-source"] for box in boxes] == ["a/", "a/b/", "a/b/one.md", "a/two.md", "<three>.md"]
    assert all("checked" in box for box in boxes)
    assert [box["data-source"] for box in boxes if "data-folder" in box] == ["a/", "a/b/"]
    assert [label.text for label in found.all("label")] == ["One", "a/two.md", "<three>.md"]
    assert found.all("summary")[0].text == "a 2"


def test_a_list_of_sources_that_is_not_there_says_why() -> None:
    assert tree(render_pick(None)).one("p").attributes["data-wait"] == "true"
    assert tree(render_pick([])).text == "Nothing is indexed yet."


def test_of_very_many_sources_the_rest_is_counted() -> None:
    found = tree(render_pick([stored(f"{n}.md") for n in range(PICKED_FROM + 5)]))
    assert len(found.all("input")) == PICKED_FROM
    assert found.one("p").text == "and 5 more sources, asked only while all are checked"
