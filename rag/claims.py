"""A sentence as what it claims: words, figures with their units, dates, names, negation, and who did what to whom.

Two sentences agree where nothing in the one contradicts the other; `contradictions` names what does. English and Spanish
are read, also against each other; of other languages the words, figures and names.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Literal

from rag.chunking import plain
from rag.folding import CAPITAL, fold
from rag.retrieval import STOP_WORDS, stem, words

Kind = Literal["word", "name", "number", "year", "date", "day", "ordinal", "side"]
Conflict = Literal["fact", "unit", "negation", "opposite", "quantity", "role", "place of a fact"]

NEAREST = 2  # words around a fact that tell whose it is
NO_RUN = -1
TIMES = frozenset({"year", "day", "date"})
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
WITHOUT = frozenset({"without", "sin"})

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
SWEEPING = frozenset({"all", "both", "one", "half", "minority", "most", "none", "few", "many"})
BOUNDS = ({"at least", "more"}, {"at most", "less"})

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
ASIDE = frozenset(
    "in on at with over under after before during into through off near around across along about since en".split()
)
BY = frozenset("by por".split())
ONE = frozenset("1 un una".split())
ARTICLES = frozenset("a an single sole lone another each every cada solo sola".split())
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
    def names(self) -> tuple[frozenset[str], ...]:
        runs: dict[int, set[str]] = defaultdict(set)
        for t in self.tokens:
            if t.kind == "name":
                runs[t.run].add(t.key)
        return tuple(frozenset(run) for run in runs.values())

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
def _cognate_form(word: str) -> str:
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


_ENDINGS = tuple(frozenset(map(_cognate_form, endings)) - {""} for endings in (ENDINGS, SPANISH_ENDINGS))


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
                elif re.fullmatch(r"1\d{3}|20\d{2}", word) and key_of(after) not in _UNIT_KEYS and "," not in word:
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
            if (key := key_of(word)) in _UNIT_KEYS:
                return key
            if word not in ("de", "of", "square", "cubic", "us"):
                break
        return ""


def _counts_none(folded: Sequence[str], place: int) -> bool:
    """Whether the zero at `place` stands for "no": zero errors, but not 3-0, 0 degrees or a zero hours contract."""
    before, after = "".join(folded[place - 1 : place]), "".join(folded[place + 1 : place + 2])
    if before.isdecimal() or before in DETERMINERS or key_of(after) in _UNIT_KEYS:
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
_UNIT_KEYS = frozenset(UNITS.values())
_QUANTITIES = tuple((name, re.compile(pattern)) for name, pattern in QUANTITIES)
_OPPOSITE_WORDS = frozenset(word for sides in OPPOSITES for side in sides for word in side.split())
_OPPOSITE_KEYS = tuple(
    tuple(frozenset(key_of(w, spanish) for w in side.split() for spanish in (False, True)) for side in sides)
    for sides in OPPOSITES
)


# -- what of a claim another text holds --------------------------------------------------------------------------------


def found_in(said: Claim, held: Claim) -> dict[int, tuple[Token, ...]]:
    """For each token of `said`, by its number, the tokens of `held` that say it; those without one are left out."""
    by_key: dict[str, list[Token]] = defaultdict(list)
    by_prefix: dict[str, list[Token]] = defaultdict(list)
    for t in held.tokens:
        by_key[t.key].append(t)
        if t.kind in ("word", "name"):
            by_prefix[_cognate_form(t.word)[:PREFIX]].append(t)
    found: dict[int, tuple[Token, ...]] = {}
    for i, token in enumerate(said.tokens):
        same = by_key.get(token.key) or by_key.get(_other_order(token), [])
        if not same and token.kind in ("word", "name"):
            same = [
                t
                for t in by_prefix.get(_cognate_form(token.word)[:PREFIX], ())
                if _cognate(token, t, said.spanish != held.spanish, said.spanish)
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


def _cognate(a: Token, b: Token, abroad: bool = True, spanish: bool = False) -> bool:
    """Whether two words are forms of one. `abroad`: of two languages, which may end it in any way; else of one, `spanish`."""
    one, other = _cognate_form(a.word), _cognate_form(b.word)
    if min(len(one), len(other)) < PREFIX or a.key in _UNIT_KEYS or b.key in _UNIT_KEYS:
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
    short, long = sorted((_cognate_form(a.word), _cognate_form(b.word)), key=len)
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


# -- what contradicts --------------------------------------------------------------------------------------------------


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


Found = Mapping[int, tuple[Token, ...]]


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
    return _cognate_form(a.word)[:PREFIX] == _cognate_form(b.word)[:PREFIX]


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
        if t.clause == clause and t.kind not in kinds and t.run not in runs and t.key not in _UNIT_KEYS
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
    return other.at not in told and not _cognate(other, fact)


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
    if token.key in _UNIT_KEYS:
        return True
    before = claim.words[token.at - 1] if token.at else ""
    return before in DETERMINERS or (before in (PREPOSITIONS | BY) - {"to"} and not token.word.endswith("ing"))
