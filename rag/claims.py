"""A sentence as what it claims: words, figures with their units, dates, names, negation, and who did what to whom.

`found_in` says which of them another text has too (rag.conflicts: what it says otherwise). English and Spanish are read, also
against each other; of other languages the words, figures and names.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Literal

from rag.chunking import plain
from rag.folding import CAPITAL, fold
from rag.retrieval import STOP_WORDS, stem, words

Kind = Literal["word", "name", "number", "year", "date", "day", "ordinal", "side"]

NO_RUN = -1
READ = 20_000  # texts kept as read: the evidence of one sentence is that of the next
PREFIX = 5  # letters: constitution and constitución meet
DOUBLED = re.compile(r"([bdgmnprt])\1$")  # admitted, admit
REST = 5  # letters that may follow a common prefix
ROOT_REST = 2  # and what of two roots
VOWELS = "aeiouy"
GIVES, TAKES = re.compile(r"[eo]rs?$"), re.compile(r"ees?$")
PEOPLE = frozenset("an ans ian ians ean eans ese ish ic n ns i is ers ity".split())
CREED = re.compile(r"is(?:m|ts?)$")
SMALL_PEOPLE = frozenset("ano ana anos anas".split())  # mexicano; with a capital it is a place: Indiana
GIVEN = frozenset("adrian christian damian fabian julian lilian marian sebastian vivian".split())  # no people's names


def _members(text: str) -> dict[str, str]:
    """Each word of each group, groups between bars, as the first word of its group."""
    groups = [group.split() for group in text.split("|")]
    return {word: group[0] for group in groups for word in group}


SPANISH_STOP_WORDS = frozenset(
    "a al ante antes asi aunque cada como con contra cual cuales cuando cuanto de del desde donde durante el ella ellas ello"
    " ellos en entre era eran es esa esas ese eso esos esta estaba estan estar estas este esto estos estuvo fue fueron ha"
    " haber habia habian han hasta hay hizo la las le les lo los mas me mi mientras muy ni no nos nuestra nuestro o otra"
    " otras otro otros para pero por porque pues que queda quedo quien quienes se sea segun ser sera seran si sido sin sobre solo su"
    " sus tal tambien tan tanto tendra tener tiene tienen toda todas todo todos tras tuvo un una unas uno unos y ya".split()
)
# What tells the two languages from each other.
SPANISH_MARKS = SPANISH_STOP_WORDS - STOP_WORDS - {"a", "me", "no", "son"}
ENGLISH_MARKS = STOP_WORDS - SPANISH_STOP_WORDS

SPANISH_ENDINGS = (
    "aciones acion amiento imiento aremos yeron ieron iendo aban aron ando adas ados idas idos ada ado ida ido aba ara era ira"
    " aran eran iran ian ia io ar er ir an en os as es o a e s".split()
)

# Behind these, words of one root still differ by two letters at most: produce production, describe description.
ENDINGS = (
    "ifications ification ifically ifiable ifying ability ibility ization isation ational ations ation ption ptions itions"
    " ition utions ution ssions ssion sions sion tions tion ions ion ments mental ment fully ful lessness less iness ness"
    " encies ences ency ence ancies ances ancy ance ities ity ively ive ives ably able ible ibly ially ials ial ically ical"
    " ics ic ously ous ual uals ally als al ants ant ents ently ent ators ator atory ates ated ating ate aries arily ary"
    " eries ery ories ory ors or ers er ists istic ist tists tist tific isms ism ized ised ize izes izing ise ises ising"
    " sis ses ze zes zing st sts ship ships hood dom age ages ee ees est ier iest ily ly ing ings ies ied ed es ce ts"
    " ison isons se ses sive ential entials tial tially cing if ility le t ts s e y i a o".split()
)
IRREGULAR = _members(
    "be been|beat beaten|become became|begin began begun|bite bit bitten|blow blew blown|break broke broken|bring brought|"
    "build built|burn burnt|buy bought|catch caught|choose chose chosen|come came|cost costs|cut cuts|deal dealt|"
    "dig dug|draw drew drawn|drink drank drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed|feel felt|"
    "fight fought|find finds|fly flew flown flight|forget forgot forgotten|freeze froze frozen|get got gotten|"
    "give gave given gift|go went gone|grow grew grown growth|hang hung|hear heard|hide hid hidden|hit hits|hold held|"
    "keep kept|know knew known knowledge|lay laid|lead led leader|leave left|lend lent|let lets|lie lay lain|"
    "light lit|lose lost loss losses|make made|mean meant|meet met|pay paid payment|put puts|read reads|ride rode ridden|"
    "ring rang rung|rise rose risen|run ran|say said|see saw seen|seek sought|sell sold sale sales|send sent|"
    "set sets|shake shook shaken|shine shone|shoot shot|show shown|shut shuts|sing sang sung|sink sank sunk|sit sat|"
    "sleep slept|speak spoke spoken speech|spend spent|spread spreads|stand stood|steal stole stolen|stick stuck|"
    "strike struck|swear swore sworn|swim swam swum|take took taken|teach taught teacher|tear tore torn|"
    "tell told|think thought|throw threw thrown|understand understood|wake woke|wear wore worn|win won winner|"
    "write wrote written writer|child children|man men|woman women|foot feet|tooth teeth|mouse mice|person people|"
    "die died dies death dead|high height|long length|deep depth|wide width|strong strength|weigh weight weighs|"
    "choice choose|bear born birth|old age aged|decide decision|marry marriage married|deny denied denies denial|refuse refusal|move moved|arrive arrival|"
    "negar niega niegan nego negaron negaba negaban negado|desmentir desmiente desmienten desmintio desmintieron desmentido|"
    "hacer hizo hecho|ir iban iba|morir murio muerto murieron muerte|nacer nacio nacido nacimiento|decir dijo dicho|"
    "poner puso puesto|ver vio visto|escribir escribio escrito escrita|abrir abrio abierto abierta|venir vino|dar dio dado|"
    "poder puede pueden pudo|vencer vencio|proteger protege protegido protegida|volver volvio vuelto"
)

# Words for the same thing, in both languages, as stems of their first word.
ALIKE = _members(
    "found establish create fundar crear founder fundador|begin start open commence launch empezar comenzar iniciar|"
    "end finish conclude terminar acabar|buy acquire purchase takeover comprar adquirir|build construct erect construir|"
    "publish appear issue release publicar|win victory victoria|say state declare claim maintain argue account decir afirmar|"
    "show demonstrate reveal mostrar|use employ utilise utilize usar utilizar|get receive obtain gain recibir obtener|"
    "company firm business enterprise compania empresa|car vehicle coche automovil|boat ship vessel barco buque|"
    "child kid pupil nino alumno|doctor physician medico|illness disease sickness enfermedad|drug medicine medicament|"
    "house home household casa|street road calle|people inhabitant persona|money cash dinero|work job labour trabajo|"
    "film movie pelicula|book volume libro|country nation pais|city town ciudad|village pueblo|law legislation act ley|"
    "king monarch rey|war conflict guerra|leader head boss chief|big large great huge grande|small little tiny pequeno|"
    "quick fast rapid rapido|near close cerca|kill slay matar|destroy ruin wreck destruir|"
    "happen occur take_place ocurrir suceder|live dwell reside vivir|move relocate transfer|replace succeed follow|"
    "choose elect select pick elegir|appoint name nominate nombrar|need require necesitar requerir|"
    "permit allow let permitir|forbid ban prohibit prohibir|contain hold include contener|discover find descubrir hallar|"
    "produce make yield generate manufacture producir generar|lie situate locate stand encontrar|travel journey viaj|"
    "pay salary wage|injure hurt injury wound herir|fire blaze incendio|reply answer respond responder|"
    "give donate grant supply dar|return go_back volver|cost price expense costar precio|"
    "scientist researcher cientifico|study research investigation estudio|trial ensayo|court tribunal|judge juez|"
    "sign firmar|university universidad|school escuela|hospital|church iglesia|river rio|lake lago|sea mar|mountain monte|"
    "tunnel tunel|year annual yearly ano|month monthly mes|week weekly semana|day daily dia|water agua|oil petroleo|"
    "energy energia|music musica|prize award premio|government gobierno|president presidente|minister ministro|"
    "vaccine vacuna|patient paciente|adult adulto|region|museum museo|company|team equipo|match game partido|"
    "player jugador|worker employee trabajador empleado|lawyer attorney abogado|accuse charge acusar|"
    "headquarters head_office sede|population poblacion|height altura|length longitud|cut reduce reducir|"
    "lower bajar|electricity power electric electrico|deposit|consent agree approve|chemist chemistry|"
    "write author compose escribir|sue demandar take_to_court|defeat beat derrotar vencer|conquer conquistar"
)

# Sides that exclude each other: what stands for the one contradicts what stands for the other.
OPPOSITES: tuple[tuple[str, str], ...] = (
    ("increase rise raise aumentar subir crecer", "decrease fall drop decline shrink reduce lower disminuir bajar"
     " reducir caer descender"),
    ("win victory triumph beat defeat ganar derrotar vencer", "lose perder"),
    ("before prior earlier antes", "after later afterwards despues tras"),
    ("accept approve adopt confirm uphold aceptar aprobar", "reject refuse dismiss decline turn_down rechazar denegar"),
    ("admit confess confirm acknowledge admitir confesar confirmar", "deny denial negar"),
    ("agree", "refuse disagree"),
    ("open abierto abrir", "closed close shut cerrado cerrar"),
    ("present", "absent"),
    ("allow permit let permitir", "forbid ban prohibit prohibir"),
    ("begin start open", "end finish conclude"),
    ("buy purchase acquire comprar", "sell vender"),
    ("import", "export"),
    ("large big great", "small little"),
    ("old older", "young younger"),
    ("first earliest primero", "last latest final ultimo"),
    ("hot warm", "cold cool"),
    ("rich", "poor"),
    ("strong", "weak"),
    ("high highest taller", "low lowest shorter"),
    ("fast faster quick", "slow slower"),
    ("arrive arrival reach", "depart departure leave"),
    ("birth", "death"),
    ("success succeed", "fail failure"),
    ("support favour", "oppose against"),
    ("public", "private"),
    ("male man men", "female woman women"),
    ("majority mayoria most", "minority minoria"),
    ("maximum", "minimum"),
    ("inside within", "outside"),
    ("mother", "father"),
    ("son", "daughter"),
    ("brother", "sister"),
    ("guilty", "innocent"),
    ("lawful legal", "unlawful illegal"),
    ("better best", "worse worst"),
    ("employ hire contratar", "dismiss fire despedir"),
    ("enter join", "leave quit"),
    ("north northern norte", "south southern sur"),
    ("east eastern este", "west western oeste"),
    ("left izquierdo", "right derecho"),
    ("upper top", "lower bottom"),
)  # fmt: skip

UNITS = _members(
    "km kilometre kilometer kilometro|m metre meter metro|cm centimetre centimeter centimetro|mm millimetre millimeter|"
    "mile milla|foot feet ft|inch|yard|kg kilogram kilogramme kilo kilogramo|g gram gramme gramo|mg milligram miligramo|"
    "microgram microgramo|tonne ton tonelada|pound libra|ounce|litre liter litro|gallon|hectare hectarea ha|acre|"
    "second segundo|minute minuto|hour hora|day dia|week semana|month mes|year ano|decade decada|century siglo|percent|"
    "degree grado|celsius|fahrenheit|watt vatio|kilowatt kw kilovatio|megawatt mw megavatio|gigawatt gw gigavatio|volt|"
    "kilobyte kb|megabyte mb|gigabyte gb|terabyte tb|dollar|euro|yen|crown corona|franc|peso|rupee|yuan|ruble|"
    "hertz hz|megahertz mhz|gigahertz ghz|calorie caloria|knot|bar|pascal|newton|joule"
)
NEGATIONS = frozenset(
    "not no never neither nor none nobody nothing nowhere cannot unless hardly unable nunca jamas ni ningun ninguna"
    " ninguno nadie nada tampoco".split()
)
NO = frozenset("no ningun ninguna".split())
# Verbs that deny what they govern. Their opposites are among OPPOSITES.
DENIALS = frozenset("fail lack refuse deny absent avoid prevent unlikely impossible".split())
# It is false that the mill stands; that the mill stands is untrue.
FALSE = frozenset("false untrue falso mentira".split())
CALLED_FALSE = re.compile(
    rf"\b(?:{'|'.join(sorted(FALSE))}|neg(?:ar|o|aron|aban?|ado)|nieg(?:an?|ue)|desm(?:entir|ienten?|intio|intieron)) (?:that|que)\b"
    rf"|\b(?:that|que)\b.* (?:is|was|es|era) (?:\w+ly )?(?:{'|'.join(sorted(FALSE))})$"
)

NO_DENIAL = re.compile(
    r"\b(?:not only|not many|no (?:more|less|fewer) than|no solo|no (?:reasonable |real )?doubt|no (?:hay |cabe )?dudas?)\b"
)

# Things that a sentence may name without adding to what is said.
COMMON_THINGS = frozenset(
    "account amount area building case country day end example fact force form group kind level life lot main man matter"
    " member name number part people period person place point price problem process question reason result sentence side"
    " size source story system text thing time total type use value way woman word work world year able available common"
    " considered due enough important known located main necessary new old possible same several true usual used various"
    " caso cosa forma gente lugar manera modo numero parte persona tipo vez".split()
)

# What opens a sentence with a capital and is no name.
OPENERS = frozenset(
    "almost another because besides compared each fewer majority minority more even every everyone few fewer half however least less many mostly much nearly"
    " none nobody nowadays often over rather several since sometimes somewhat still then therefore thus today together"
    " unlike usually within yet algunos algunas cada muchos muchas pocos pocas mayoria nadie ningun".split()
)

WEEKDAYS = _members(
    "monday lunes|tuesday martes|wednesday miercoles|thursday jueves|friday viernes|saturday sabado|sunday domingo"
)
SEASONS = _members("spring primavera|summer verano|autumn otono|winter invierno")
MONTHS = frozenset("january february march april may june july august september october november december".split())
SIDES = _members("north northern norte|south southern sur|east eastern|west western oeste")
PARTS_OF_DAY = frozenset("noon midnight morning evening afternoon".split())

# Quantities by how much they take in; two different ones contradict each other.
QUANTITIES: tuple[tuple[str, str], ...] = (
    ("at least", r"\b(?:at least|no (?:less|fewer) than|minimum of|or more|al menos|como minimo|por lo menos)\b"),
    ("more", r"\b(?:more than|over|above|exceed\w*|mas de|superior a)(?= (?:\w+ ){0,2}\d)"),
    ("at most", r"\b(?:at most|no more than|up to|as many as|maximum of|como maximo|hasta)(?= (?:\w+ ){0,2}\d)|\bat most\b"),
    ("less", r"\b(?:less than|fewer than|under|below|menos de|inferior a)(?= (?:\w+ ){0,2}\d)"),
    ("all", r"(?<!\bnot )\b(?:all|every|everyone|everybody|each|entire|whole|always|tod[oa]s?|siempre)\b(?! (?:year|month|week|day|time)\b)"),
    ("one", r"\b(?:1|un[oa]) (?:of|de)\b"),
    ("both", r"\b(?:both|ambos|ambas)\b"),
    ("almost none", r"\b(?:almost none|hardly any)\b"),
    ("most", r"\b(?:most|mostly|majority|mayoria)\b(?! of all)"),
    ("minority", r"\b(?:minority|minoria)\b"),
    ("half", r"\b(?:half|mitad)\b"),
    ("some", r"\b(?:some|several|sometimes|a few|algun[oa]s|vari[oa]s)\b"),
    ("few", r"(?<!\ba )\b(?:few|rarely|seldom|not many|poc[oa]s|raramente)\b(?! than)"),
    ("many", r"(?<!\bnot )(?<!\bas )\b(?:many|often|frequently|much[oa]s|a menudo)\b"),
    ("none", r"\b(?:none|no one|nobody|neither|ningun[oa]?|nadie)\b"),
    ("only", r"\b(?:only|solely|exclusively|just|solo|solamente|unicamente)\b"),
)  # fmt: skip

NOTHING_CLAIMED = re.compile(
    r"^(?:unfortunately,? |sorry,? |i am sorry,? (?:but )?|i'm sorry,? (?:but )?|however,? )*(?:"
    r"(?:i|we) (?:do not|don't|cannot|can't|could not|couldn't) (?:have|find|know|provide|see|answer|tell|locate)\b|"
    r"i(?:'m| am) (?:not sure|unable|glad|happy|sorry)\b|"
    r"(?:the |this |that |these |any )*(?:provided |given |available )?"
    r"(?:documents?|passages?|texts?|context|sources?|information)(?: provided| given)? "
    r"(?:do not|does not|don't|doesn't|did not|is not|are not) (?:state|say|mention|provide|contain|include|give|specify|"
    r"specified|stated|mentioned|provided|available|answer|indicate|address|explicitly)\b|"
    r"(?:you(?:'re| are) welcome|thank|thanks|let me know|feel free|is there anything|if you have (?:any|more|further|other)|"
    r"i hope)\b)"
)

YES = "yes|correct|right|indeed|true|sí|correcto|cierto|efectivamente"
# What only says yes to the question, before a statement.
AFFIRMED = re.compile(rf"^[\W_]*(?:(?:{YES})\b[*_]*\s*[,.:;!][\W_]*)+(?=\w)", re.IGNORECASE)

CAPITALISED = rf"(?<![\w'’]){CAPITAL}(?:[\w'’.-]*\w)?"
LETTER = re.compile(r"(?<=[^\W\d_] )[B-HJ-Z](?![\w.'’])")  # team B
A_OR_I = re.compile(r"(?<=[^\W\d_] )[AI](?![\w'’-])")  # hepatitis A, Elizabeth I
COUNTED_NAME = re.compile(rf"{CAPITALISED} (?:One|Uno|Una)\b")  # Formula One
NAME = re.compile(rf"{CAPITALISED}(?:[ -]{CAPITALISED})*")
CLAUSE = re.compile(
    r"[;:()\[\]—–?!]|(?<!\b[A-Z])(?<!\b(?:Mr|Ms|Dr|St|Sr|Jr))(?<!\bMrs)(?<!\bProf)\.(?=\s)|,(?=\s)|\s-\s|"
    r"(?<!hundred )(?<!thousand )\b(?:and|y)\b(?! a half| medi[oa])|"
    r"\b(?:but|while|whereas|against|although|though|unless|because|when|where|e|cuando|donde|pero|mientras|aunque|sino)\b",
    re.IGNORECASE,
)
RELATIVES = frozenset("when where cuando donde".split())
LIGHT_ENDS = frozenset({",", "and", "y", "e", "(", ")", "—", "–"})
GO_UP, GO_DOWN = (re.compile(rf"\b(?:go|goes|went|gone) {way}\b") for way in ("up", "down"))
FROM_TO = re.compile(r"(\bfrom\b[^,;:]*?)\bto\b", re.IGNORECASE)
SPELT_OUT = tuple(  # what is as often written short, or in the other language
    (name, re.compile(rf"(?<![\w.])(?:{short})(?![\w$]|\s*dollar)"))
    for name, short in (
        ("United States", r"U\.S\.A\.|U\.S\.|USA|US|EE\. ?UU\.?|EEUU|Estados Unidos"),
        ("United Kingdom", r"U\.K\.|UK|Reino Unido"),
        ("European Union", r"E\.U\.|EU|UE|Unión Europea"),
        ("United Nations", r"U\.N\.|UN|ONU|Naciones Unidas"),
    )
)
AGAINST = re.compile(r"\b(?:is|are|was|were|be|been|being) (?:\w+ly )?against\b")  # whoever is, opposes
HUNDREDS = re.compile(r"\b(\d{2})00s\b")  # the 1600s are the 17th century
YEARS = dict.fromkeys("decade decades decada decadas".split(), 10) | dict.fromkeys(
    "century centuries siglo siglos".split(), 100
)
SIGLO = re.compile(r"\b[Ss]iglos? ([IVX]+)\b")
CLASS = re.compile(
    r"\b((?i:class|type|phase|stage|level|grade|category|group|part|chapter|volume|clase|tipo|fase)|War|Guerra) ([IVX]+)\b"
)
ROMAN = {"I": 1, "V": 5, "X": 10}
ACCORDING = re.compile(r"(^(?:according to|según)\b[^,;:]*),", re.IGNORECASE)
DATE_COMMA = re.compile(r"(?<=\d),(?=\s\d{4}\b)")
CURRENCIES = {"£": "pound", "€": "euro", "¥": "yen"}
DETERMINERS = frozenset("the a an of in on his her their its my our el la los las un una de en su sus".split())
PASSIVE = frozenset("is are was were be been being fue fueron es son sera seran sido ser queda quedo".split())
PREPOSITIONS = frozenset(
    "in on at to from for with of over under after before during into through off near around across along about against since"
    " until en a de con para desde hasta sobre tras ante bajo durante hacia".split()
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word that carries meaning. `at`: its place among all words; `clause`: the one it stands in.

    `run`: for names, the place of the first word of the name, so that the words of one name belong together.
    """

    key: str
    kind: Kind
    word: str
    at: int
    clause: int
    unit: str = ""
    run: int = NO_RUN


Found = Mapping[int, tuple["Token", ...]]  # place of a token of one claim -> those of another that say it


@dataclass(frozen=True, slots=True)
class Claim:
    """`words`: all folded words; `negations`: how many stand in each clause."""

    text: str
    words: tuple[str, ...]
    tokens: tuple[Token, ...]
    negations: tuple[int, ...]
    quantities: frozenset[str]
    spanish: bool

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(t.key for t in self.tokens)

    @property
    def runs(self) -> tuple[tuple[str, ...], ...]:
        """The words of each name, in the order of the text."""
        runs: dict[int, list[str]] = defaultdict(list)
        for t in self.tokens:
            if t.kind == "name":
                runs[t.run].append(t.key)
        return tuple(map(tuple, runs.values()))

    @property
    def names(self) -> tuple[frozenset[str], ...]:
        return tuple(map(frozenset, self.runs))

    @property
    def numbers(self) -> frozenset[str]:
        return frozenset(t.key for t in self.tokens if t.kind in ("number", "year"))


@lru_cache(maxsize=READ)
def read(text: str) -> Claim:
    text = plain(text)
    for name, short in SPELT_OUT:
        text = short.sub(name, text)
    text = AGAINST.sub("oppose", text)
    text = HUNDREDS.sub(lambda m: f"{int(m[1]) + 1}th century", text)
    text = CLASS.sub(lambda m: f"{m[1]} {_roman(m[2])}", text)
    text = SIGLO.sub(lambda m: f"{_roman(m[1])}th century", text)
    text = A_OR_I.sub(lambda m: f"{m[0]}_" if _is_letter(m) else m[0], text)  # apart from the words "a" and "i"
    return _Reader(text).claim()


def _is_letter(found: re.Match[str]) -> bool:
    """Whether an A is no article or initial, and an I is part of a name and nobody who speaks."""
    before, after = found.string[: found.start()].split()[-1], found.string[found.end() :]
    following = words(after)[:1]
    if after.startswith(".") and following and following[0] not in STOP_WORDS | SPANISH_STOP_WORDS:
        return False
    if found[0] == "A":
        return not (before[0].isupper() and after.lstrip()[:1].isupper())
    [word] = words(before)[-1:] or [""]
    return before[0].isupper() and word not in STOP_WORDS and not _is_common(word) and not _date_word(word)


def _in_years(folded: Sequence[str]) -> list[str]:
    """Two centuries are 200 years."""
    said = list(folded)
    for at, (number, time) in enumerate(pairwise(folded)):
        if number.isdecimal() and time in YEARS:
            said[at : at + 2] = str(int(number) * YEARS[time]), "years"
    return said


def _roman(numeral: str) -> int:
    """Up to XXXIX; a smaller one before a greater is taken off."""
    values = [ROMAN[letter] for letter in numeral]
    return sum(-v if v < max(values[i:]) else v for i, v in enumerate(values))


def without_yes(sentence: str) -> str:
    """The statement behind "yes," or "correct:", which needs no proof of its own. A mere "yes." stays."""
    return AFFIRMED.sub("", sentence)


def claims_nothing(sentence: str) -> bool:
    """Whether a sentence only says that nothing is known, or is polite."""
    return bool(NOTHING_CLAIMED.match(plain(sentence).lower().replace("’", "'")))


def key_of(word: str, spanish: bool = False) -> str:
    """What a folded word is compared by."""
    if word in UNITS or word in WEEKDAYS or word in SEASONS:
        return UNITS.get(word) or WEEKDAYS.get(word) or SEASONS[word]
    if unit := next((UNITS[form] for form in (_singular(word), word.removesuffix("es")) if form in UNITS), ""):
        return unit
    base = IRREGULAR.get(word) or IRREGULAR.get(word.removesuffix("s")) or word
    root = DOUBLED.sub(r"\1", _spanish_stem(base) if spanish else stem(base))
    return _ALIKE.get(root, root)


def _spanish_stem(word: str) -> str:
    """A crude common stem; only ever compared with itself, but for the words of ALIKE."""
    root = next((word[: -len(e)] for e in SPANISH_ENDINGS if word.endswith(e) and len(word) - len(e) >= 4), word)
    return root.replace("i", "e")  # persigue, persiguió, perseguido


def _other_order(token: Token) -> str:
    """Round two is the second round."""
    if token.kind in ("ordinal", "day"):
        return token.key.removesuffix("th")
    return f"{token.key}th" if token.kind == "number" and not token.unit else ""


@lru_cache(maxsize=READ)
def cognate_form(word: str) -> str:
    """The word as its cousin in the other language would be spelt: racional as rational, clásico as classic."""
    word = re.sub(r"^es(?=[cpt])", "s", re.sub(r"ci(?=[oa])", "ti", word).replace("ph", "f").replace("y", "i"))
    word = re.sub(r"(?:ification|ified|ifies|ify|ifications)$", "if", word)
    return re.sub(r"([^\W\d_aeiou])\1", r"\1", word)


@lru_cache(maxsize=READ)
def _roots(form: str, spanish: bool) -> frozenset[str]:
    """What may be left of a word without its ending."""
    endings = _ENDINGS[spanish]
    return frozenset(form[: -len(e)] for e in endings if form.endswith(e) and len(form) - len(e) >= PREFIX - 1) | {form}


@lru_cache(maxsize=READ)
def _people_of(name: str, small: bool) -> frozenset[str]:
    """What the name of a people may be that of, without the vowels at its end: keny of Kenyan, iceland of Icelandic."""
    if name in GIVEN:
        return frozenset()
    endings = PEOPLE | SMALL_PEOPLE if small else PEOPLE
    return frozenset(name[: -len(e)] for e in endings if name.endswith(e) and len(name) - len(e) >= 3)


def _place(name: str) -> str:
    return name.rstrip(VOWELS)


_ENDINGS = tuple(frozenset(map(cognate_form, endings)) - {""} for endings in (ENDINGS, SPANISH_ENDINGS))


def _singular(word: str) -> str:
    return word[:-2] if word.endswith(("ches", "xes")) else word.removesuffix("s") if len(word) > 3 else word


_ALIKE = {
    DOUBLED.sub(r"\1", root(IRREGULAR.get(word, word))): stem(IRREGULAR.get(first, first))
    for root in (_spanish_stem, stem)
    for word, first in ALIKE.items()
}


@dataclass(frozen=True, slots=True)
class Clause:
    """`after`: the mark or word that it stands behind."""

    text: str
    after: str


class _Reader:
    """One text on its way to a Claim."""

    def __init__(self, text: str) -> None:
        self.text = text
        lowered = words(text)
        spanish, english = (sum(w in marks for w in lowered) for marks in (SPANISH_MARKS, ENGLISH_MARKS))
        self.spanish = spanish > english
        self.stop = SPANISH_STOP_WORDS if self.spanish else STOP_WORDS
        self.names = self._names()
        self.letters = frozenset(w.lower() for w in LETTER.findall(text)) - frozenset(re.findall(r"\b[a-z]\b", text))

    def claim(self) -> Claim:
        all_words: list[str] = []
        tokens: list[Token] = []
        negations: list[int] = []
        held_open = held_open_first = False  # an apposition has just ended; a subject has just begun
        for clause in self._clauses():
            folded = _in_years(fold(clause.text, self.spanish).split())
            denied = self._denied(folded)
            new = list(self._tokens(folded, len(all_words), len(negations)))
            bare = not denied and _is_bare(new)
            # A mere list item or apposition belongs to what stands before it, and after a comma what follows does too.
            joins = bool(negations) and clause.after in LIGHT_ENDS and (bare or (held_open and clause.after == ","))
            if not joins and not (held_open_first and clause.after != ";"):
                negations.append(0)
            number = len(negations) - 1
            negations[number] += denied
            if clause.after in RELATIVES and tokens and tokens[-1].kind != "word":
                tokens.append(replace(tokens[-1], clause=number))  # the year when, the town where
            tokens += [replace(t, clause=number) for t in new]
            all_words += folded
            held_open = bare and joins
            held_open_first = bare and not joins
        joined = " ".join(all_words)
        quantities = frozenset(name for name, pattern in _QUANTITIES if pattern.search(joined))
        return Claim(self.text, tuple(all_words), tuple(tokens), tuple(negations), quantities, self.spanish)

    def _denied(self, folded: Sequence[str]) -> int:
        """How often a clause denies. Spanish says it twice (no … nunca); "neither … nor" and "not only" are told apart."""
        joined = NO_DENIAL.sub(" ", " ".join(folded))
        plainly = joined.split()
        denied = sum(w in NEGATIONS for w in plainly) + plainly.count("t")  # the end of "didn't"
        denied -= 1 if "neither" in plainly and "nor" in plainly else 0
        denied += sum(_counts_none(folded, place) for place, word in enumerate(folded) if word == "0")
        governing = sum(stem(IRREGULAR.get(w, w)) in _DENIALS for w in plainly) + bool(CALLED_FALSE.search(joined))
        return (min(denied, 1) if self.spanish else denied) + governing

    def _clauses(self) -> Iterator["Clause"]:
        text = DATE_COMMA.sub("", self.text)
        for sign, name in CURRENCIES.items():
            text = re.sub(rf"{sign}\s?(\d+(?:[.,]\d+)*(?: (?:million|billion|trillion|bn|mn)\b)?)", rf"\1 {name}", text)
        text = GO_UP.sub("rise", GO_DOWN.sub("fall", text))
        text = ACCORDING.sub(r"\1;", FROM_TO.sub(r"\1; to", text))
        start, after = 0, ""
        for end in CLAUSE.finditer(text):
            if text[start : end.start()].strip():
                yield Clause(text[start : end.start()], after)
                after = ""
            mark = end.group().strip().lower()
            start, after = end.end(), after if after and mark == "," else mark
        if text[start:].strip():
            yield Clause(text[start:], after)

    def _names(self) -> dict[str, int]:
        """The folded words of the names, each with the number of its name."""
        names: dict[str, int] = {}
        yes = len(self.text) - len(without_yes(self.text))
        for number, found in enumerate(NAME.finditer(self.text, yes)):
            run = [w for w in words(found.group()) if w not in STOP_WORDS and w not in self.stop]
            opens = found.start() <= yes or self.text[: found.start()].rstrip()[-1:] in ".!?:"
            if opens and len(run) == 1 and _is_common(run[0]):
                continue
            for word in run:
                if not _date_word(word):
                    names.setdefault(word, number)
        return names

    def _tokens(self, folded: Sequence[str], offset: int, clause: int) -> Iterator[Token]:
        for place, word in enumerate(folded):
            at = offset + place
            after = folded[place + 1] if place + 1 < len(folded) else ""
            if re.fullmatch(r"-?\d[\d.,]*", word):
                if word == "1" and not (re.search(r"(?<!\d)1(?!\d)", self.text) or COUNTED_NAME.search(self.text)):
                    continue  # "one" as a pronoun
                if after in MONTHS:
                    yield Token(f"{word}th", "day", word, at, clause)
                elif re.fullmatch(r"1\d{3}|20\d{2}", word) and key_of(after) not in UNIT_KEYS and "," not in word:
                    yield Token(word, "year", word, at, clause)
                else:
                    yield Token(word, "number", word, at, clause, self._unit(folded, place))
            elif re.fullmatch(r"\d{3}0s", word):
                yield Token(word, "year", word, at, clause)
            elif re.fullmatch(r"\d+th", word):
                yield Token(word, "ordinal", word, at, clause)
            elif (date := _date_word(word)) and (word != "may" or "May" in self.text):
                yield Token(date, "date", word, at, clause)
            elif word in self.names and word not in SIDES:
                yield Token(
                    key_of(word) if self.spanish else stem(word), "name", word, at, clause, "", self.names[word]
                )
            elif word in self.letters:
                yield Token(word, "name", word, at, clause, "", -2 - ord(word))
            elif word in SIDES:
                yield Token(SIDES[word], "side", word, at, clause)
            elif word not in self.stop and word not in PREPOSITIONS and len(word) > 1:
                yield Token(key_of(word, self.spanish), "word", word, at, clause)

    def _unit(self, folded: Sequence[str], place: int) -> str:
        """The unit of the number at `place`: one of the next two words, or a currency before it."""
        for word in folded[place + 1 : place + 3]:
            if (key := key_of(word)) in UNIT_KEYS:
                return key
            if word not in ("de", "of", "square", "cubic", "us"):
                break
        return ""


def _counts_none(folded: Sequence[str], place: int) -> bool:
    """Whether the zero at `place` stands for "no": zero errors, but not 3-0, 0 degrees or a zero hours contract."""
    before, after = "".join(folded[place - 1 : place]), "".join(folded[place + 1 : place + 2])
    if before.isdecimal() or before in DETERMINERS or key_of(after) in UNIT_KEYS:
        return False
    return IRREGULAR.get(after, after) != after or (after.endswith("s") and after not in STOP_WORDS)


def _is_bare(tokens: Sequence[Token]) -> bool:
    """Whether a fragment is a single name or figure, an item of a list or an apposition."""
    return len({(t.kind, t.run) for t in tokens}) <= 1 and all(t.kind not in ("word", "ordinal") for t in tokens)


def _is_common(word: str) -> bool:
    """Whether a word at the head of a sentence is likely none of its names."""
    known = IRREGULAR.keys() | ALIKE.keys() | UNITS.keys() | _OPPOSITE_WORDS | OPENERS
    return (
        word in known
        or word.removesuffix("s") in known
        or word.endswith(("ing", "tion", "tions", "ment", "ness", "ly", "ed"))
    )


def _date_word(word: str) -> str:
    return word if word in MONTHS or word in PARTS_OF_DAY else WEEKDAYS.get(word) or SEASONS.get(word) or ""


_DENIALS = frozenset(stem(word) for word in DENIALS)
UNIT_KEYS = frozenset(UNITS.values())
_QUANTITIES = tuple((name, re.compile(pattern)) for name, pattern in QUANTITIES)
_OPPOSITE_WORDS = frozenset(word for sides in OPPOSITES for side in sides for word in side.split())


# -- what of a claim another text holds --------------------------------------------------------------------------------


def found_in(said: Claim, held: Claim) -> dict[int, tuple[Token, ...]]:
    """For each token of `said`, by its number, the tokens of `held` that say it; those without one are left out."""
    by_key: dict[str, list[Token]] = defaultdict(list)
    by_prefix: dict[str, list[Token]] = defaultdict(list)
    for t in held.tokens:
        by_key[t.key].append(t)
        if t.kind in ("word", "name"):
            by_prefix[cognate_form(t.word)[:PREFIX]].append(t)
    found: dict[int, tuple[Token, ...]] = {}
    for i, token in enumerate(said.tokens):
        same = by_key.get(token.key) or by_key.get(_other_order(token), [])
        if not same and token.kind in ("word", "name"):
            same = [
                t
                for t in by_prefix.get(cognate_form(token.word)[:PREFIX], ())
                if cognate(token, t, said.spanish != held.spanish, said.spanish)
            ]
        if not same and token.key == "0":
            same = _none_of_it(said, token, held)
        if same:
            found[i] = tuple(same)
    return found


def _none_of_it(said: Claim, zero: Token, held: Claim) -> list[Token]:
    """No errors are zero errors."""
    counted = {t.key for t in said.tokens if t.at == zero.at + 1}
    return [t for t in held.tokens if t.key in counted and NO & set(held.words[max(0, t.at - 1) : t.at])]


def cognate(a: Token, b: Token, abroad: bool = True, spanish: bool = False) -> bool:
    """Whether two words are forms of one. `abroad`: of two languages, which may end it in any way; else of one, `spanish`."""
    one, other = cognate_form(a.word), cognate_form(b.word)
    if min(len(one), len(other)) < PREFIX or a.key in UNIT_KEYS or b.key in UNIT_KEYS:
        return False
    if "name" in (a.kind, b.kind):
        return _same_name(a, b, abroad)
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    rest = max(len(one), len(other)) - shared
    if shared < max(PREFIX, rest) or rest > REST or _gives_and_takes(a.word, b.word):
        return False
    if abroad or shared == min(len(one), len(other)):
        return True
    return any(_begins(x, y) for x in _roots(one, spanish) for y in _roots(other, spanish))


def _begins(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and len(long) - len(short) <= ROOT_REST


def _gives_and_takes(one: str, other: str) -> bool:
    """The employer is not the employee."""
    return any(GIVES.search(x) and TAKES.search(y) for x, y in ((one, other), (other, one)))


def _same_name(a: Token, b: Token, abroad: bool) -> bool:
    """Whether one is a place and the other its people, or one a common word with a capital: not Andersen and Anderson.

    Two names that only begin alike are two: Niger and Nigeria, Martin and Martinez. Italy and Italia are two languages.
    """
    if stem(a.word) == stem(b.word) or CREED.sub("", a.word) == CREED.sub("", b.word):
        return True
    if _of_its_people(a, b) or _of_its_people(b, a):
        return True
    if abroad and _place(a.word) == _place(b.word) and a.word[-1] in VOWELS and b.word[-1] in VOWELS:
        return True
    short, long = sorted((cognate_form(a.word), cognate_form(b.word)), key=len)
    return a.kind != b.kind and long.startswith(short) and len(long) - len(short) <= REST


def _of_its_people(place: Token, people: Token) -> bool:
    return not _people_of(people.word, people.kind == "word").isdisjoint((place.word, _place(place.word)))


def is_thing(claim: Claim, token: Token) -> bool:
    """Whether a word stands where things are named: behind an article or preposition, or about a form of "to be"."""
    if token.kind != "word" or token.word.endswith(("ing", "ed", "ly")):
        return False
    if token.word in COMMON_THINGS or token.word in IRREGULAR or token.word in OPENERS:
        return False
    before = claim.words[token.at - 1] if token.at else ""
    after = claim.words[token.at + 1] if token.at + 1 < len(claim.words) else ""
    if token.word in FALSE and after in ("that", "que"):
        return False
    return (
        before in (DETERMINERS | PREPOSITIONS | PASSIVE) - {"to"}
        or after in PASSIVE
        or (not token.at and without_yes(claim.text) == claim.text)
    )
