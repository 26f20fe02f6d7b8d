"""Names of PostHog's objects as parts of asset keys, which is what Dagster's graph shows.

Facts: the last part of a key is the node's title in the graph, so it starts with the object's name.
A key of an asset that a step depends on becomes the name of an op's input, which Dagster takes only
of ASCII letters, digits and underscores. Names in PostHog are any text, and need not be unique.
"""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import sha256

_LONGEST = 60
#: Of a node's title in Dagster's graph; longer ones are cut in their middle.
_TITLE = 32
#: Letters that Unicode does not take apart into a Latin letter and a mark.
_LATIN = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ð": "d", "đ": "d", "þ": "th", "ł": "l", "ı": "i", "ħ": "h"}
)


def plain(text: str) -> str:
    """ASCII letters, digits and underscores, in lower case: `Café` -> `cafe`.

    Empty where nothing of the text can be written so, as of a name in Japanese.
    """
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    latin = "".join(c for c in apart if not unicodedata.combining(c)).translate(_LATIN)
    return re.sub(r"[^a-z0-9]+", "_", latin).strip("_")[:_LONGEST].strip("_")


def identifier(ident: str) -> str:
    """An object's id as part of a key: as it is where it can be, else what is plain of it and a
    digest."""
    if re.fullmatch(r"[A-Za-z0-9]+", ident):
        return ident
    return _joined(plain(ident), _digest(ident))


def object_labels(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Id -> the last part of its asset key: its name and the end of its id, the whole id where
    another object has that already, the id alone where the name has no plain form. The oldest come
    first, so that an object keeps its label when another one is added.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for ident, name in named:
        whole = plain(ident)
        shown = _whole_words(plain(name), _TITLE - 5)
        candidates = [_joined(shown, whole[-4:])] if shown and whole else []
        candidates += [_joined(shown, whole), _joined(shown, whole, _digest(ident))]
        found[ident] = _first_free(candidates, taken)
    return found


def thing_labels(things: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(kind, name) -> the last part of its asset key, of things that have no id in PostHog.

    Where names have one plain form, the one that is written so has it, and the others have a
    digest of their own name behind it.
    """
    things = list(dict.fromkeys(things))
    sharing: dict[str, int] = {}
    for thing in things:
        sharing[_shown(thing)] = sharing.get(_shown(thing), 0) + 1
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    # Those whose plain form stands for them alone come first, so that no digest takes it.
    for thing in sorted(things, key=lambda thing: not _exact(thing)):
        shown, (_, name) = _shown(thing), thing
        alone = _exact(thing) or (sharing[shown] == 1 and (plain(name) or not name))
        candidates = [shown] if alone and shown else []
        candidates.append(_joined(shown, _digest("\n".join(thing))))
        found[thing] = _first_free(candidates, taken)
    return found


def _whole_words(text: str, longest: int) -> str:
    """As many words of a plain text as there is room for; a part of the first where it is long."""
    if len(text) <= longest:
        return text
    return text[: longest + 1].rpartition("_")[0] or text[:longest].strip("_")


def _shown(thing: tuple[str, str]) -> str:
    return plain(" ".join(part for part in thing if part))


def _exact(thing: tuple[str, str]) -> bool:
    kind, name = thing
    return (
        bool(kind)
        and plain(kind) == kind
        and plain(name) == name
        and len(_shown(thing)) == len(_joined(kind, name))
    )


def _joined(*parts: str) -> str:
    return "_".join(part for part in parts if part)


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _first_free(candidates: list[str], taken: set[str]) -> str:
    """The first candidate that is free; a number behind the last one where none is."""
    last, n = candidates[-1], 1
    while candidates and (candidates[0] in taken or not candidates[0]):
        candidates = candidates[1:]
    label = candidates[0] if candidates else last
    while label in taken:
        n += 1
        label = f"{last}_{n}"
    taken.add(label)
    return label


def sql_table_name(short_id: str) -> str:
    """The table of one SQL insight: `insight_sql_aavq8ijw_3f2a` for the short id AaVQ8Ijw.

    Lower case, so that it is read without quotes everywhere; of the short id alone, so that it
    stays when the insight is renamed; and two short ids that differ in case alone have two tables.
    """
    name = re.sub(r"[^a-z0-9]+", "_", short_id.lower()).strip("_")
    if name == short_id:
        return f"insight_sql_{name}"
    return f"insight_sql_{name}_{sha256(short_id.encode()).hexdigest()[:4]}"
