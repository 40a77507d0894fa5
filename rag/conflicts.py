"""What one claim says otherwise than another: figures and dates, units, negation, opposites, quantities, and who did what.

Two sentences agree where nothing in the one contradicts the other.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from rag.claims import (
    DETERMINERS,
    IRREGULAR,
    MONTHS,
    OPPOSITES,
    PARTS_OF_DAY,
    PASSIVE,
    PREFIX,
    PREPOSITIONS,
    SEASONS,
    UNIT_KEYS,
    WEEKDAYS,
    Claim,
    Found,
    Token,
    cognate,
    cognate_form,
    found_in,
    key_of,
)

Conflict = Literal["fact", "unit", "negation", "opposite", "quantity", "role", "place of a fact"]
NEAREST = 2  # words around a fact that tell whose it is
TIMES = frozenset({"year", "day", "date"})
WITHOUT = frozenset({"without", "sin"})
SWEEPING = frozenset({"all", "both", "one", "half", "minority", "most", "none", "few", "many"})
BOUNDS = ({"at least", "more"}, {"at most", "less"})
ASIDE = frozenset(
    "in on at with over under after before during into through off near around across along about since en".split()
)
BY = frozenset("by por".split())
ONE = frozenset("1 un una".split())
ARTICLES = frozenset("a an single sole lone another each every cada solo sola".split())
_OPPOSITE_KEYS = tuple(
    tuple(frozenset(key_of(w, spanish) for w in side.split() for spanish in (False, True)) for side in sides)
    for sides in OPPOSITES
)


def contradictions(said: Claim, held: Sequence[Claim]) -> frozenset[Conflict]:
    """What the texts say otherwise than the sentence. Each is compared by itself, best first."""
    matched = [found_in(said, h) for h in held]
    conflicts: set[Conflict] = set()
    for h, m in zip(held, matched, strict=True):
        if _swapped_roles(said, h, m):
            conflicts.add("role")
        if _other_unit(said, h, m):
            conflicts.add("unit")
    if _opposed(said, held, matched):
        conflicts.add("opposite")
    if _negated_otherwise(said, held, matched):
        conflicts.add("negation")
    if _other_quantity(said, held):
        conflicts.add("quantity")
    if _fact_of_another(said, held, matched):
        conflicts.add("place of a fact")
    if _other_ordinal(said, held, matched) or _one_of_several(said, held, matched):
        conflicts.add("fact")
    if any(_looks_alike(said, h, m) for h, m in zip(held, matched, strict=True)):
        conflicts.add("fact")
    return frozenset(conflicts)


def _other_unit(said: Claim, held: Claim, found: Found) -> bool:
    """Whether a figure is there, but of something else in every place."""
    for i, token in enumerate(said.tokens):
        if token.kind == "number" and token.unit and i in found:
            units = {t.unit for t in found[i] if t.kind == "number"}
            if units and token.unit not in units and "" not in units:
                return True
    return False


def _opposed(said: Claim, held: Sequence[Claim], matched: Sequence[Found]) -> bool:
    """Whether the sentence has a word, not said by the texts, whose opposite they say."""
    keys = frozenset[str]().union(*(h.keys for h in held))
    all_words = frozenset(w for h in held for w in h.words)
    for i, token in enumerate(said.tokens):
        if any(i in m for m in matched):
            continue
        for one, other in _OPPOSITE_KEYS:
            for mine, theirs in ((one, other), (other, one)):
                if token.key in mine and not mine & keys and theirs & keys and not theirs & said.keys:
                    return True
        for prefix in ("un", "in", "im", "il", "dis", "non"):
            if prefix + token.word in all_words or (
                token.word.startswith(prefix) and token.word[len(prefix) :] in all_words and len(token.word) > 5
            ):
                return True
    return False


def _negated_otherwise(said: Claim, held: Sequence[Claim], matched: Sequence[Found]) -> bool:
    """Whether a clause of the sentence denies what the texts only state, or states what they only deny."""
    if any(_without(said, token) != _without(held[0], t) for token, t in _pairs(said, matched[0])):
        return True
    denied_there = [  # the clauses of the texts that a denying clause of the sentence speaks of
        (n, t.clause)
        for n, m in enumerate(matched)
        for i, there in m.items()
        for t in there
        if said.negations[said.tokens[i].clause] % 2
    ]
    for number, denied in enumerate(said.negations):
        only_denied = only_stated = 0
        for i, token in enumerate(said.tokens):
            if token.clause != number or token.kind in ("number", "year", "day"):
                continue
            places = {(n, t.clause) for n, m in enumerate(matched) for t in m.get(i, ())}
            there = {held[n].negations[clause] % 2 for n, clause in places}
            only_denied += there == {1} and (bool(denied % 2) or not places & set(denied_there))
            only_stated += there == {0}
        if (denied % 2 and only_stated and not only_denied) or (not denied % 2 and only_denied):
            return True
    return False


def _pairs(said: Claim, found: Found) -> Iterator[tuple[Token, Token]]:
    """Each token of the sentence that stands once in the text, beside the one there."""
    yield from ((said.tokens[i], there[0]) for i, there in found.items() if len(there) == 1)


def _without(claim: Claim, token: Token) -> bool:
    return bool(WITHOUT & set(claim.words[max(0, token.at - 2) : token.at]))


def _other_ordinal(said: Claim, held: Sequence[Claim], matched: Sequence[Found]) -> bool:
    """Whether the sentence counts to another place than the texts do."""
    mine = {i: t for i, t in enumerate(said.tokens) if t.kind in ("ordinal", "side")}
    return any(
        t.kind == o.kind and o.key not in said.keys
        for i, t in mine.items()
        if not any(i in m for m in matched)
        for h in held
        for o in h.tokens
    )


def _looks_alike(said: Claim, held: Claim, found: Found) -> bool:
    """Whether a word stands between the same two others as one of the text that only begins like it: antibiotic, antibody."""
    if said.spanish != held.spanish:
        return False
    told = {t.at for there in found.values() for t in there}
    around = list(zip([None, *held.tokens], held.tokens, [*held.tokens[1:], None], strict=False))
    last = len(said.tokens) - 1
    for i, token in enumerate(said.tokens):
        if token.kind != "word" or i in found or not last:
            continue
        for before, other, after in around:
            if other.kind == "word" and other.at not in told and _begin_alike(token, other):
                same_before = before in found.get(i - 1, ()) if i else before is None
                same_after = after in found.get(i + 1, ()) if i < last else after is None
                if same_before and same_after:
                    return True
    return False


def _begin_alike(a: Token, b: Token) -> bool:
    return cognate_form(a.word)[:PREFIX] == cognate_form(b.word)[:PREFIX]


def _one_of_several(said: Claim, held: Sequence[Claim], matched: Sequence[Found]) -> bool:
    """Whether the texts have several of what the sentence has one of, and nowhere one."""
    if said.quantities & {"at least", "more"} or any("1" in h.words for h in held):
        return False
    for i, thing in enumerate(said.tokens):
        one_day = thing.key == "day" and thing.at == 1  # some day, at the head of a sentence
        if thing.kind != "word" or one_day or not _has_one(said, thing):
            continue
        places = [(h, t) for h, m in zip(held, matched, strict=True) for t in m.get(i, ())]
        counts = {key for h, t in places for key in _counts(h, t)}
        if counts and counts.isdisjoint(said.keys) and not any(_has_one(h, t, ONE | ARTICLES) for h, t in places):
            return True
    return False


def _has_one(claim: Claim, thing: Token, one: Set[str] = ONE) -> bool:
    """Whether "one" stands before a thing or its adjective. Whoever is "un alcalde" need not be the only one."""
    at = next((at for at in range(max(0, thing.at - 2), thing.at) if claim.words[at] in one), None)
    if at is None or (claim.words[at] in ("un", "una") and PASSIVE & set(claim.words[max(0, at - 1) : at])):
        return False
    return not PREPOSITIONS & set(claim.words[at + 1 : thing.at])


def _counts(claim: Claim, thing: Token) -> Iterator[str]:
    """The numbers before a thing or its adjective."""
    return (t.key for t in claim.tokens if t.kind == "number" and t.key != "0" and 0 < thing.at - t.at <= 2)


def _other_quantity(said: Claim, held: Sequence[Claim]) -> bool:
    theirs = frozenset[str]().union(*(h.quantities for h in held))
    mine = said.quantities
    for one, other in (BOUNDS, BOUNDS[::-1]):
        if mine & one and theirs & other and not theirs & one:
            return True
    open_ = mine - theirs
    if "only" in open_ and len(mine) == 1 and theirs:
        return True
    return bool(open_ & (SWEEPING | {"some"}) and theirs - {"at least", "more", "at most", "less"} - mine) or bool(
        open_ & {"all"} and not theirs & {"both"}
    )


def _fact_of_another(said: Claim, held: Sequence[Claim], matched: Sequence[Found]) -> bool:
    """Whether a figure, date, name or side stands where the texts speak of something else.

    That is so where another of its kind stands in a clause of which the sentence says more than of the fact's own, or which
    alone has the word that stands nearest to the fact in the sentence.
    """
    for i, fact in enumerate(said.tokens):
        slots = (
            []
            if fact.kind != "word"
            else [_slot(h, t) for h, m in zip(held, matched, strict=True) for t in m.get(i, ())]
        )
        if fact.kind == "word" and (len(set(slots)) != 1 or not slots[0]):
            continue
        here = [j for j, t in enumerate(said.tokens) if t.clause == fact.clause and not _one(t, fact)]
        if not any(said.tokens[j].kind == "word" for j in here):
            here = [j for j, t in enumerate(said.tokens) if not _one(t, fact)]
        own, rival = 0.0, 0.0
        own_places: set[tuple[int, int]] = set()
        rival_places: set[tuple[int, int]] = set()
        for number, (h, m) in enumerate(zip(held, matched, strict=True)):
            mine = [t for t in m.get(i, ()) if not fact.unit or not t.unit or t.unit == fact.unit]
            others = [t for t in h.tokens if _rivals(t, fact, _told(said, i, here, m, mine))]
            if fact.kind == "word":
                others = [t for t in others if _slot(h, t) == slots[0] and (slots[0] != "subject" or _is_noun(h, t))]
            for clause in {t.clause for t in mine}:
                own_places.add((number, clause))
                own = max(own, _share_said(h, m, here, clause, mine))
            for clause in {t.clause for t in others} - {t.clause for t in mine}:
                rival_places.add((number, clause))
                rival = max(rival, _share_said(h, m, here, clause, others))
        if not own_places:
            continue
        if rival > own or (rival >= own < 1 and _nearer(said, i, here, matched, own_places, rival_places)):
            return True
        if fact.kind != "word" and rival_places and _other_subject(said, fact, held, matched, own_places, rival_places):
            return True
        if fact.kind != "word" and any(
            _beside_another(said, i, here, h, m) for h, m in zip(held, matched, strict=True)
        ):
            return True
    return False


def _told(said: Claim, fact: int, here: Sequence[int], found: Found, places: Sequence[Token]) -> set[int]:
    """What of a text the sentence says as well: around the fact, in its name, and elsewhere on the same side of it."""
    token = said.tokens[fact]
    told = {t.at for j in here for t in found.get(j, ())}
    for j, other in enumerate(said.tokens):
        for t in found.get(j, ()):
            if _one(other, token) or any((other.at < token.at) == (t.at < there.at) for there in places):
                told.add(t.at)
    return told


def _slot(claim: Claim, token: Token) -> str:
    """What governs a word: a preposition, or that it opens its clause; "" for all else."""
    clause = [t.at for t in claim.tokens if t.clause == token.clause]
    at = token.at - 1
    while at >= 0 and (claim.words[at] in DETERMINERS - PREPOSITIONS or (claim.words[at] == "a" and not claim.spanish)):
        at -= 1
    if at >= 0 and claim.words[at] in PREPOSITIONS:
        return claim.words[at]
    return "subject" if token.at == clause[0] else ""


def _nearer(
    said: Claim,
    fact: int,
    here: Sequence[int],
    matched: Sequence[Found],
    own: Set[tuple[int, int]],
    rival: Set[tuple[int, int]],
) -> bool:
    """Whether the nearest telling word is one that only the rival's clause has."""
    for j in sorted((j for j in here if said.tokens[j].kind == "word"), key=lambda j: abs(j - fact))[:NEAREST]:
        places = {(number, t.clause) for number, m in enumerate(matched) for t in m.get(j, ())}
        if bool(places & own) != bool(places & rival):
            return bool(places & rival)
    return False


def _other_subject(
    said: Claim,
    fact: Token,
    held: Sequence[Claim],
    matched: Sequence[Found],
    own: Set[tuple[int, int]],
    rival: Set[tuple[int, int]],
) -> bool:
    """Whether the clauses of the fact speak of another subject, and the sentence's own stands only in the rival's."""
    first = next((i for i, t in enumerate(said.tokens) if t.clause == fact.clause), None)
    if first is None or _one(said.tokens[first], fact) or _slot(said, said.tokens[first]) != "subject":
        return False
    places = {(n, t.clause) for n, m in enumerate(matched) for t in m.get(first, ())}
    if not places & rival or places & own:
        return False
    told = {(n, t.at) for n, m in enumerate(matched) for there in m.values() for t in there}
    subjects = [(n, next(t for t in held[n].tokens if t.clause == clause)) for n, clause in own]
    return all(
        (n, t.at) not in told and _slot(held[n], t) == "subject" and t.kind in ("word", "name") for n, t in subjects
    )


def _beside_another(said: Claim, fact: int, here: Sequence[int], held: Claim, found: Found) -> bool:
    """Whether, within one clause, the words around the fact stand by another of its kind."""
    token = said.tokens[fact]
    around = sorted((j for j in here if said.tokens[j].kind == "word" and j in found), key=lambda j: abs(j - fact))
    told = {t.at for j in here for t in found.get(j, ())}
    votes = []
    for mine in found.get(fact, ()):
        others = [t for t in held.tokens if t.clause == mine.clause and _rivals(t, token, told)]
        for j in around[:NEAREST]:
            places = [t.at for t in found[j] if t.clause == mine.clause]
            if others and places:
                far = min(abs(at - mine.at) for at in places)
                near = min(abs(at - t.at) for at in places for t in others)
                votes.append(far > 2 * near)
    return len(votes) == NEAREST and all(votes)


def _one(a: Token, b: Token) -> bool:
    """Whether both are words of one name, or the same word."""
    return a is b or (a.kind == b.kind == "name" and a.run == b.run)


def _share_said(held: Claim, found: Found, here: Sequence[int], clause: int, facts: Sequence[Token]) -> float:
    """How much of a clause, the facts themselves and others of their kind left out, the tokens `here` say."""
    kind = facts[0].kind
    kinds = TIMES if kind in TIMES else frozenset({kind} - {"name", "word"})
    runs = {t.run for t in facts if t.kind == "name"}
    others = {
        t.at
        for t in held.tokens
        if t.clause == clause and t.kind not in kinds and t.run not in runs and t.key not in UNIT_KEYS
    } - {t.at for t in facts}
    told = {t.at for i in here for t in found.get(i, ()) if t.clause == clause}
    return len(told & others) / len(others) if others else 0.0


def _rivals(other: Token, fact: Token, told: Set[int]) -> bool:
    """Whether the one could stand where the other does, and is not said there as well."""
    if other.kind != fact.kind or (fact.kind == "date" and _sort_of(other.key) != _sort_of(fact.key)):
        return False
    if other.key == fact.key:
        return bool(other.unit and fact.unit and other.unit != fact.unit)
    if other.unit and fact.unit and other.unit != fact.unit:
        return False
    return other.at not in told and not cognate(other, fact)


def _sort_of(date: str) -> int:
    """Friday does not stand where March does."""
    return next(i for i, sort in enumerate((MONTHS, PARTS_OF_DAY, SEASONS.values(), WEEKDAYS.values())) if date in sort)


def _swapped_roles(said: Claim, held: Claim, found: Found) -> bool:
    """Whether who did something and whom it was done to have changed places around a word that both have."""
    by_place = {t.at: {other.at for other in found.get(i, ())} for i, t in enumerate(said.tokens)}
    confirmed = False
    for i, verb in enumerate(said.tokens):
        if verb.kind != "word" or not found.get(i) or (_is_noun(said, verb) and not _names_its_object(said, verb)):
            continue
        mine = _roles(said, verb)
        places = [_roles(held, there) for there in found[i] if not _is_noun(held, there)]
        if places and all(_swapped(mine, theirs, by_place) for theirs in places):
            return True
        confirmed = confirmed or any(_kept(mine, theirs, by_place) for theirs in places)
    if not confirmed and _names_reversed(said, held, by_place):
        return True
    return any(_turned(said, held, token, found.get(i, ())) for i, token in enumerate(said.tokens))


def _swapped(mine: "Roles", theirs: "Roles", by_place: Mapping[int, set[int]]) -> bool:
    if mine.passive and not mine.agents:
        return bool(theirs.acts_on and mine.subject is not None and by_place[mine.subject] & theirs.agents)
    taken = any(_only_in(by_place[at], theirs.others, theirs.agents) for at in mine.agents)
    return taken and any(_only_in(by_place[at], theirs.agents, theirs.others) for at in mine.others)


def _only_in(places: Set[int], here: Set[int], there: Set[int]) -> bool:
    """A word that stands on both sides of a verb tells nothing of who did it."""
    return bool(places & here) and not places & there


def _kept(mine: "Roles", theirs: "Roles", by_place: Mapping[int, set[int]]) -> bool:
    kept = any(by_place[at] & theirs.agents for at in mine.agents)
    return kept and any(by_place[at] & theirs.others for at in mine.others)


def _names_reversed(said: Claim, held: Claim, by_place: Mapping[int, set[int]]) -> bool:
    """Whether two names of one clause stand in the other order in the text, neither of them a mere place or time."""
    names = [t for t in said.tokens if t.kind == "name" and by_place[t.at] and _slot(said, t) not in ASIDE]
    asides = {t.at for t in held.tokens if _slot(held, t) in ASIDE}
    return any(
        a.clause == b.clause
        and not _one(a, b)
        and not (by_place[a.at] | by_place[b.at]) & asides
        and max(by_place[b.at]) < min(by_place[a.at])
        for a, b in pairwise(names)
    )


def _turned(said: Claim, held: Claim, token: Token, places: Sequence[Token]) -> bool:
    """Whether what the one is from is what the other is to."""
    turned = {"from": "to", "to": "from"}.get(_preposition(said, token), "")
    return bool(turned and places) and all(_preposition(held, t) == turned for t in places)


def _preposition(claim: Claim, token: Token) -> str:
    if token.kind == "number":
        return ""
    before = {t.at for t in claim.tokens if not _one(t, token)}
    for at in range(token.at - 1, max(token.at - 5, -1), -1):
        if at in before:
            return ""
        if claim.words[at] in ("from", "to"):
            return claim.words[at]
    return ""


@dataclass(frozen=True, slots=True)
class Roles:
    """Around one verb, the places of the words for who does it, and for all else.

    `subject`: what stands before a passive; `acts_on`: an object follows, without a preposition.
    """

    agents: frozenset[int]
    others: frozenset[int]
    passive: bool = False
    subject: int | None = None
    acts_on: bool = False


def _roles(claim: Claim, verb: Token) -> Roles:
    clause = [
        t.at for t in claim.tokens if t.clause == verb.clause and t.at != verb.at and not _is_adjunct(claim, t, verb)
    ]
    before, after = [at for at in clause if at < verb.at], [at for at in clause if at > verb.at]
    helped = any(w in PASSIVE for w in claim.words[max(0, verb.at - 3) : verb.at])
    if _is_participle(verb.word):
        end = after[-1] + 1 if after else verb.at + 1
        by = next((at for at in range(verb.at + 1, end) if claim.words[at] in BY), None)
        if by is not None and not any(verb.at < at < by and _is_participle(claim.words[at]) for at in after):
            stop = next((at for at in range(by + 1, end) if claim.words[at] in PREPOSITIONS), end)
            agents = {at for at in after if by < at < stop}
            others = set(clause) - agents or {t.at for t in claim.tokens if t.clause == verb.clause + 1}
            return Roles(frozenset(agents), frozenset(others), passive=True)
        if helped:
            return Roles(frozenset(), frozenset(clause), passive=True, subject=before[-1] if before else None)
    if claim.words[verb.at + 1 : verb.at + 2] in (("by",), ("por",)):  # victories by the greens
        return Roles(frozenset(after), frozenset(before), passive=True)
    if not before and verb.clause:
        before = [t.at for t in claim.tokens if t.clause == verb.clause - 1]
    acts_on = bool(after) and not any(w in PREPOSITIONS for w in claim.words[verb.at + 1 : after[0]])
    return Roles(frozenset(before), frozenset(after), acts_on=acts_on)


def _is_adjunct(claim: Claim, token: Token, verb: Token) -> bool:
    """Whether a preposition governs the word, other than those of who gives, gets or does something."""
    kinds = {t.at: t.kind for t in claim.tokens}
    for at in range(token.at - 1, -1, -1):
        word = claim.words[at]
        if word in PREPOSITIONS - {"to", "from", "of", "a", "de"}:
            return at != verb.at + 1
        if word in DETERMINERS:
            continue
        chained = kinds.get(at) == "name" or (kinds.get(at) in ("word", "side", "ordinal") and token.kind != "name")
        if not chained or claim.words[at + 1] in DETERMINERS:
            return False
    return False


def _is_participle(word: str) -> bool:
    return word.endswith(("ed", "en", "ado", "ada", "ados", "adas", "ido", "ida", "idos", "idas")) or (
        word in IRREGULAR and IRREGULAR[word] != word
    )


def _names_its_object(claim: Claim, token: Token) -> bool:
    """The supervisor of Karl is who supervises Karl."""
    agent = token.word.endswith(("er", "or", "ist", "ian", "ant", "ent", "or", "ora", "ista"))
    return agent and token.at + 1 < len(claim.words) and claim.words[token.at + 1] in ("of", "de")


def _is_noun(claim: Claim, token: Token) -> bool:
    if token.key in UNIT_KEYS:
        return True
    before = claim.words[token.at - 1] if token.at else ""
    return before in DETERMINERS or (before in (PREPOSITIONS | BY) - {"to"} and not token.word.endswith("ing"))
