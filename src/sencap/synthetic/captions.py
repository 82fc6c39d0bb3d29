"""Sentences about a change, in the manner of LEVIR-CC's annotators, from the facts
alone.

Templates by hand, since they are the only captions that are true by construction: a
language model would say more than the scene holds. Each kind has some; what a template
needs (a place, a road, old houses) decides whether it is among them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sencap.synthetic.facts import Facts
from sencap.synthetic.words import Words

# The five sentences that LEVIR-CC gives to every unchanged pair, word for word.
UNCHANGED: tuple[str, ...] = (
    "the scene is the same as before",
    "there is no difference",
    "the two scenes seem identical",
    "no change has occurred",
    "almost nothing has changed",
)
PER_PAIR = 5
# A template is a function, not a text: each call draws its words anew, and agreement of
# verb and noun comes with them.
Sentence = Callable[[Words], str]


def _houses(facts: Facts) -> list[Sentence]:
    """Houses appear where no road is new."""
    # A template that stands twice comes up more often. What has no true value, such as
    # a place of a change that spreads, comes as an empty text.
    sentences: list[Sentence] = [
        lambda w: f"{w.houses()} {w.appear()} {w.where()}",
        lambda w: f"{w.houses()} {w.appear()} {w.where()}",
        lambda w: f"{w.houses()} {w.appear()} {w.along() or w.place()} {w.ground()}",
        lambda w: f"{w.houses()} {w.appear()} {w.along()} {w.place()}",
        lambda w: f"{w.houses()} {w.appear()} {w.place() or w.where()}",
    ]
    # Trees are named as what was lost only where they covered much of the ground.
    if facts.cover > 0.3:
        sentences += [
            lambda w: (
                f"{w.trees()} {w.vanish()} and {w.houses()} {w.appear()} "
                f"{w.along() or w.place()}"
            ),
            lambda w: f"{w.houses()} {w.replace()} {w.trees(part=True)} {w.place()}",
            lambda w: (
                f"{w.houses()} {w.appear(perfect=True)} {w.along()} to replace some "
                "trees"
            ),
        ]
    # "More" and "another" are true only beside houses that were there.
    if facts.near_old_house:
        sentences += [
            lambda w: f"{w.houses()} {w.appear()} {w.beside_old()}",
            lambda w: (
                f"{w.more()} {w.appear(many=facts.houses > 1)} "
                f"{w.along() or w.beside_old()}"
            ),
        ]
    # A row is at least three houses on one side of one road.
    if facts.one_row or (facts.rows > 1 and facts.houses >= 6):
        sentences += [lambda w: w.row_sentence(), lambda w: w.row_sentence()]
    # An area is residential where many houses come beside several that stood.
    if facts.houses >= 8 and facts.old_houses >= 4:
        sentences.append(lambda w: f"{w.houses()} {w.appear()} in the residential area")
    return sentences


def _roads_and_houses(facts: Facts) -> list[Sentence]:
    """A road or several, and houses along them."""
    # Where a template has both, `road` stands before its verb: it sets whether that is
    # plural.
    sentences: list[Sentence] = [
        lambda w: (
            f"{w.road()} {w.built(w.many_roads)} and {w.houses()} {w.appear()} "
            f"{w.along_it()}"
        ),
        lambda w: (
            f"{w.road()} with {w.houses()} {w.alongside()} "
            f"{w.appear(many=w.many_roads)} {w.ground()}"
        ),
        lambda w: f"{w.houses()} and {w.road()} {w.appear(many=True)} {w.ground()}",
        lambda w: f"{w.houses()} {w.appear()} {w.along_new()} {w.ground()}",
        lambda w: f"{w.houses()} {w.appear()} {w.along_new()} {w.place()}",
        lambda w: (
            f"{w.road()} and {w.houses()} {w.appear(many=True)} "
            f"{w.place() or w.ground()}"
        ),
    ]
    if facts.cover > 0.3:
        sentences += [
            lambda w: (
                f"{w.trees()} {w.vanish()} and {w.road()} with {w.houses()} "
                f"{w.alongside()} {w.roads_are()}"
            ),
            lambda w: f"{w.trees()} {w.replaced()} by {w.road()} and {w.houses()}",
            lambda w: f"{w.road()} and {w.houses()} replace {w.trees(part=True)}",
            lambda w: (
                f"{w.road()} {w.roads_are()} in the woods and {w.houses()} "
                f"{w.appear()} {w.along_it()}"
            ),
        ]
    # Open ground is named as what was replaced only if hardly a tree stood on it.
    elif facts.cover < 0.12:
        sentences.append(
            lambda w: f"the {w.land()} is replaced by {w.road()} and {w.houses()}"
        )
    # Whole estates are told as such, and not only as roads and houses.
    if facts.houses >= 8 and facts.kind == "neighbourhood_built":
        sentences += [lambda w: w.residential(), lambda w: w.residential()]
    if facts.rows >= 2 and facts.houses >= 6:
        sentences.append(lambda w: w.row_sentence())
    return sentences


def _roads(facts: Facts) -> list[Sentence]:
    """Roads or a path, and nothing else."""
    sentences: list[Sentence] = [
        lambda w: f"{w.road()} {w.appear(many=w.many_roads)}",
        lambda w: f"{w.road()} {w.appear(many=w.many_roads)} {w.ground()}",
        lambda w: f"{w.road()} {w.appear(many=w.many_roads)} {w.place() or w.ground()}",
        lambda w: f"{w.road()} {w.built(w.many_roads)} {w.across()}",
        lambda w: f"{w.road()} {w.built(w.many_roads)} {w.ground()} {w.place()}",
    ]
    if facts.cover > 0.3:
        sentences += [
            lambda w: (
                f"{w.trees(part=True)} {w.vanish()} and {w.road()} "
                f"{w.appear(many=w.many_roads)}"
            ),
            lambda w: f"{w.road()} {w.built(w.many_roads)} to replace some trees",
            lambda w: (
                f"{w.road()} {w.appear(many=w.many_roads)} {w.across()} and some "
                "trees are removed"
            ),
        ]
    return sentences


def _gone(facts: Facts) -> list[Sentence]:
    """Houses are demolished."""
    return [
        lambda w: f"{w.the_houses()} {w.demolished()}",
        lambda w: f"{w.the_houses()} {w.place()} {w.demolished()}",
        lambda w: f"{w.the_houses()} {w.along()} {w.demolished()}",
        lambda w: f"{w.count_gone()} {w.demolished()} {w.place()}",
        lambda w: (
            f"{w.count_gone()} {w.demolished()} and "
            f"become{'' if facts.gone > 1 else 's'} {w.bare()}"
        ),
        lambda w: f"{w.count_gone()} {w.replaced_gone()} by {w.bare()}",
        lambda w: (
            f"{w.count_gone()} {w.demolished()} and {w.bare()} appears {w.place()}"
        ),
    ]


def _rebuilt(_facts: Facts) -> list[Sentence]:
    """A house gives way to a larger one."""
    return [
        lambda w: (
            f"the {w.house_word()} {w.place()} "
            f"{w.one_of('has been rebuilt', 'is rebuilt', 'is renovated')}"
        ),
        lambda w: (
            f"a {w.house_word()} is rebuilt into a {w.one_of('bigger', 'larger')} "
            f"one {w.place()}"
        ),
        lambda w: f"a new {w.house_word()} is built to replace the old one {w.place()}",
        lambda w: (
            f"a former {w.house_word()} is replaced by a new "
            f"{w.one_of('one', 'villa', 'house')}"
        ),
        lambda w: (
            f"the original {w.house_word()} {w.along()} is replaced by a "
            f"{w.one_of('bigger', 'new')} one"
        ),
        lambda w: f"a small {w.house_word()} has been rebuilt {w.along() or w.place()}",
        lambda w: (
            f"a large {w.house_word()} replaces the "
            f"{w.one_of('small', 'old', 'former')} one {w.place()}"
        ),
    ]


def _cleared(facts: Facts) -> list[Sentence]:
    """Trees disappear."""
    sentences: list[Sentence] = [
        lambda w: f"{w.trees(part=True)} {w.place()} {w.vanish()}",
        lambda w: f"{w.trees(part=True)} {w.vanish()}",
        lambda w: (
            f"{w.trees(part=True)} {w.one_of('become', 'turn into', 'have become')} "
            f"{w.bare()} {w.place()}"
        ),
        lambda w: (
            f"{w.trees(part=True)} {w.one_of('have been replaced', 'are replaced')} "
            f"by {w.bare()}"
        ),
        lambda w: (
            f"{w.trees(part=True)} {w.vanish()} {w.place()} and {w.bare()} appears"
        ),
        lambda w: f"{w.bare()} appears in the {w.forest()} {w.place()}",
        lambda w: (
            f"{w.trees(part=True)} {w.one_of('are cut down', 'have been cut down')} "
            f"{w.place()}"
        ),
    ]
    # A wood is gone as a whole only where all of the change lies in one place.
    if facts.place:
        sentences.append(
            lambda w: (
                f"the {w.forest()} {w.place()} "
                f"{w.one_of('disappears', 'has disappeared', 'is removed')}"
            )
        )
    return sentences


def _block(facts: Facts) -> list[Sentence]:
    """A large building, perhaps with a parking lot or a road."""
    sentences: list[Sentence] = [
        lambda w: f"{w.block()} {w.appear(many=False)} {w.where()}",
        lambda w: f"{w.block()} {w.appear(many=False)} {w.ground()}",
        lambda w: f"{w.block()} {w.appear(many=False)} {w.place() or w.along()}",
        lambda w: f"{w.block()} {w.built(False)} {w.along()} {w.ground()}",
    ]
    if facts.cover > 0.3:
        sentences += [
            lambda w: f"{w.block()} replaces {w.trees(part=True)} {w.place()}",
            lambda w: (
                f"{w.trees(part=True)} {w.vanish()} and {w.block()} "
                f"{w.appear(many=False)}"
            ),
        ]
    # The first two templates name the building alone, at any place: with a parking lot
    # beside it others take their place.
    if facts.parkings:
        sentences = [
            lambda w: (
                f"{w.block()} with {w.parking()} {w.appear(many=False)} {w.where()}"
            ),
            lambda w: (
                f"{w.block()} and {w.parking()} {w.appear(many=True)} {w.where()}"
            ),
            lambda w: f"{w.parking()} and {w.block()} {w.built(True)} {w.ground()}",
            lambda w: f"{w.parking()} {w.built(False)} beside {w.block()} {w.place()}",
            lambda w: f"{w.block()} {w.built(False)} near {w.parking()}",
            *sentences[2:],
        ]
    # The road and the building are both new: sentences may name them in either order.
    if facts.roads:
        sentences += [
            lambda w: f"{w.road()} and {w.block()} {w.appear(many=True)} {w.ground()}",
            lambda w: (
                f"{w.road()} {w.built(w.many_roads)} and {w.block()} "
                f"{w.appear(many=False)} {w.place()}"
            ),
            lambda w: (
                f"{w.block()} {w.appear(many=False)} and {w.road()} "
                f"{w.built(w.many_roads)}"
            ),
            lambda w: (
                f"{w.road()} with {w.block()} {w.appear(many=w.many_roads)} "
                f"{w.ground()}"
            ),
        ]
    return sentences


def _parking(facts: Facts) -> list[Sentence]:
    """A parking lot."""
    sentences: list[Sentence] = [
        lambda w: f"{w.parking()} {w.appear(many=False)} {w.where()}",
        lambda w: f"{w.parking()} {w.appear(many=False)} {w.ground()}",
        lambda w: f"{w.parking()} {w.appear(many=False)} {w.place() or w.along()}",
        lambda w: f"{w.parking()} {w.built(False)} {w.along()} {w.ground()}",
        lambda w: f"{w.parking()} {w.built(False)} {w.place()}",
    ]
    # A building that was there is known, so it has the article.
    if facts.near_old_block:
        sentences.append(
            lambda w: (
                f"{w.parking()} {w.built(False)} "
                f"{w.one_of('beside', 'near', 'next to')} the building"
            )
        )
    if facts.cover > 0.3:
        sentences += [
            lambda w: f"{w.trees(part=True)} {w.replaced()} by {w.parking()}",
            lambda w: (
                f"{w.trees(part=True)} {w.vanish()} and {w.parking()} "
                f"{w.appear(many=False)}"
            ),
        ]
    elif facts.cover < 0.12:
        sentences.append(lambda w: f"the {w.land()} becomes {w.parking()}")
    return sentences


def _pool(facts: Facts) -> list[Sentence]:
    """A swimming pool, alone or with a new house."""
    # The pool comes with its house, or to a house that was there: the sentences differ
    # in what is new.
    if facts.houses:
        return [
            lambda w: f"{w.houses()} with {w.pool()} {w.appear()} {w.where()}",
            lambda w: f"{w.houses()} with {w.pool()} {w.appear()} {w.place()}",
            lambda w: f"{w.houses()} and {w.pool()} {w.appear(many=True)} {w.ground()}",
            lambda w: (
                f"{w.houses()} {w.appear()} {w.where()} and {w.pool()} "
                f"{w.appear(many=False)} beside it"
            ),
            lambda w: f"{w.houses()} with {w.pool()} {w.appear()} {w.ground()}",
            lambda w: (
                f"{w.houses()} {w.appear()} {w.place() or w.where()} with {w.pool()}"
            ),
        ]
    return [
        lambda w: f"{w.pool()} {w.appear(many=False)}",
        lambda w: f"{w.pool()} {w.appear(many=False)} {w.beside_house()}",
        lambda w: f"{w.pool()} {w.appear(many=False)} {w.place() or w.beside_house()}",
        lambda w: f"{w.pool()} {w.built(False)} {w.beside_house()} {w.place()}",
        lambda w: f"{w.pool()} {w.built(False)} {w.place()}",
        lambda w: (
            f"the {w.one_of('house', 'villa')} {w.place()} is completed with {w.pool()}"
        ),
    ]


def _lake(_facts: Facts) -> list[Sentence]:
    """A pond or lake."""
    return [
        lambda w: (
            f"{w.lake()} "
            f"{w.one_of('appears', 'has formed', 'is formed', 'has appeared')} "
            f"{w.place()}"
        ),
        lambda w: (
            f"{w.lake()} "
            f"{w.one_of('appears', 'has formed', 'is formed', 'has appeared')} "
            f"{w.ground()}"
        ),
        lambda w: (
            f"the {w.land_or_woods()} "
            f"{w.one_of('turns into', 'becomes', 'has become')} {w.lake()}"
        ),
        lambda w: (
            f"{w.lake()} {w.one_of('replaces', 'has replaced')} the "
            f"{w.land_or_woods()} {w.place()}"
        ),
        lambda w: (
            f"the {w.land_or_woods()} {w.one_of('is', 'has been')} replaced by "
            f"{w.lake()} {w.place()}"
        ),
    ]


# Kinds whose changes read alike share a family: what tells them apart are their facts.
FAMILIES: dict[str, Callable[[Facts], list[Sentence]]] = {
    "house_built": _houses,
    "houses_built": _houses,
    "house_row_built": _houses,
    "houses_completed": _houses,
    "houses_demolished": _gone,
    "house_rebuilt": _rebuilt,
    "road_built": _roads,
    "path_built": _roads,
    "trees_cleared": _cleared,
    "building_built": _block,
    "road_and_building_built": _block,
    "parking_built": _parking,
    "pool_built": _pool,
    "house_and_pool_built": _pool,
    "road_and_houses_built": _roads_and_houses,
    "neighbourhood_built": _roads_and_houses,
    "lake_formed": _lake,
}


def _clean(sentence: str) -> str:
    """Single spaces only."""
    # Empty phrases leave two spaces behind.
    return " ".join(sentence.split())


def describe(rng: np.random.Generator, facts: Facts) -> tuple[str, ...]:
    """Five different sentences that are all true of a change: lower case, no
    punctuation."""
    sentences = FAMILIES[facts.kind](facts)
    words = Words(rng, facts)
    found: list[str] = []
    # Kinds with few templates go through them again: words are drawn anew each time.
    while len(found) < PER_PAIR:
        for position in rng.permutation(len(sentences)):
            caption = _clean(sentences[int(position)](words))
            # Five different ones, since each pair of LEVIR-CC has five.
            if caption not in found:
                found.append(caption)
            if len(found) == PER_PAIR:
                break
    return tuple(found)


def no_change(rng: np.random.Generator) -> tuple[str, ...]:
    """LEVIR-CC's five sentences for an unchanged pair, in a random order."""
    return tuple(
        UNCHANGED[int(position)] for position in rng.permutation(len(UNCHANGED))
    )
