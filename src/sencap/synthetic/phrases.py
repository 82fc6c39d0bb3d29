"""Noun phrases and verbs of LEVIR-CC's annotators that fit the facts of a change."""

from __future__ import annotations

import numpy as np

from sencap.synthetic.facts import Facts

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


# Verb and noun must agree in number, or a captioner would learn wrong English: the
# number comes from the facts, or from the noun named last (`many_roads`).
class Phrases:
    """Draws nouns and verbs that are true of one change; every call draws anew."""

    def __init__(self, rng: np.random.Generator, facts: Facts) -> None:
        self.rng = rng
        self.facts = facts
        self.many_roads = False  # whether the roads last named are plural

    def one_of(self, *options: str) -> str:
        """One of the options, earlier ones a little more often."""
        weights = np.linspace(1.6, 1.0, len(options))
        return options[int(self.rng.choice(len(options), p=weights / weights.sum()))]

    # -- things ------------------------------------------------------------------------

    def house_word(self) -> str:
        """One house."""
        return self.one_of("house", "building", "villa")

    def houses(self) -> str:
        """The new houses, counted loosely as people do."""
        count = self.facts.houses
        if count == 1:
            # Two of the seven phrases carry the size, so that small houses are often
            # just houses.
            size = "small " if self.facts.small_house else ""
            return self.one_of(
                "a house",
                f"a {size}house",
                "a building",
                "a villa",
                "a new house",
                f"a {size}building",
                "a new villa",
            )
        noun = self.one_of(
            "houses", "houses", "buildings", "villas", "detached houses", "new houses"
        )
        return f"{self._quantity(count)} {noun}"

    def _quantity(self, count: int) -> str:
        """A number or a loose word for it."""
        # Two are always counted, three to five half of the time, more never.
        if count in NUMBERS and (count == 2 or self.rng.random() < 0.5):
            return NUMBERS[count]
        if count <= 6:
            return self.one_of("some", "several")
        if count <= 11:
            return self.one_of("many", "some", "several")
        return self.one_of("many", "many", "massive", "lots of", "some")

    def more(self) -> str:
        """The new houses beside old ones."""
        if self.facts.houses == 1:
            return self.one_of(
                "another house", "another building", "a new house", "one more house"
            )
        noun = self.one_of("houses", "buildings", "villas")
        return self.one_of(
            f"more {noun}",
            f"several more {noun}" if self.facts.houses > 2 else f"two more {noun}",
            f"some new {noun}",
        )

    def count_gone(self) -> str:
        """The houses that are gone, counted."""
        count = self.facts.gone
        if count == 1:
            return self.one_of("a house", "a building", "an old house")
        return f"{NUMBERS.get(count, 'several')} {self.one_of('houses', 'buildings')}"

    def the_houses(self) -> str:
        """The houses that are gone, as known."""
        if self.facts.gone == 1:
            return self.one_of(
                "the house",
                "the building",
                "the original house",
                "the original building",
            )
        return self.one_of(
            "the houses",
            "some houses",
            "the buildings",
            "some buildings",
            "the original houses",
        )

    def block(self) -> str:
        """A large building."""
        return self.one_of(
            "a large building",
            "a building",
            "a big building",
            "a large house",
            "a massive building",
            "a factory",
        )

    def parking(self) -> str:
        """A parking lot."""
        options = [
            "a parking lot",
            "a parking lot",
            "a large parking lot",
            "a new parking lot",
        ]
        # The cars are named only where many bays are filled.
        if self.facts.cars:
            options.append("a parking lot with many cars")
        return self.one_of(*options)

    def pool(self) -> str:
        """A swimming pool."""
        return self.one_of("a swimming pool", "a pool", "a swimming pool")

    def lake(self) -> str:
        """A lake or pond."""
        if int(self.facts.region.sum()) > 6000:  # pixels: 1,500 square metres
            return self.one_of("a lake", "a large lake", "a lake")
        return self.one_of("a lake", "a small lake", "a pond")

    def road(self) -> str:
        """The new roads or the new path; `many_roads` then says whether the phrase is
        plural."""
        phrase = self._road()
        # A crossing or a t-shaped road is one thing with two roads: the article tells,
        # not the count.
        self.many_roads = not phrase.startswith("a ")
        return phrase

    def _road(self) -> str:
        """A phrase for the new roads."""
        facts = self.facts
        if facts.paths:
            return self.one_of(
                "a path", "a path", "a dirt road", "a narrow road", "a road"
            )
        if facts.roads == 1:
            # Curved and winding are not told apart strictly: both shapes have both
            # words.
            special = {
                "straight": ("a straight road", "a new road"),
                "curved": ("a curved road", "a winding road"),
                "winding": ("a winding road", "a curved road"),
            }.get(facts.shape, ("a new road", "a cement road"))
            return self.one_of("a road", "a road", *special)
        count = NUMBERS.get(facts.roads, "several")
        if facts.shape == "crossroad":
            return self.one_of(
                "a crossroad",
                "crossing roads",
                "some roads",
                "some crossing roads",
                "roads",
            )
        if facts.shape == "t-shaped":
            return self.one_of(
                "a t-shaped road", "some roads", f"{count} roads", "roads"
            )
        if facts.shape == "parallel":
            return self.one_of(
                f"{count} roads",
                "some roads",
                "parallel roads",
                "several roads",
                "roads",
            )
        return self.one_of("some roads", f"{count} roads", "roads")

    def trees(self, *, part: bool = False) -> str:
        """The trees that go; `part` asks for words that leave others standing. Always
        takes a plural verb."""
        # Words for all of the trees would be untrue where others are left standing.
        options = ["some trees", "many trees", "trees", "some plants"]
        woods = ["many trees", "part of the woods"]
        if not part:
            options += ["the trees", "the plants"]
            woods = ["the woods", "many trees"]
        if self.facts.ground == "woods":
            options += woods
        return self.one_of(*options)

    def forest(self) -> str:
        """A wood."""
        return self.one_of("woods", "forest", "woods")

    def land(self) -> str:
        """The open ground that was there before (singular)."""
        if self.facts.ground == "grass":
            return self.one_of("grass", "meadow", "grassland")
        if self.facts.ground == "bareland":
            return self.one_of("bareland", "desert", "wasteland")
        return self.one_of("bareland", "open space", "wasteland")

    def land_or_woods(self) -> str:
        """What was there before (singular)."""
        if self.facts.ground == "woods":
            return self.one_of("forest", "vegetation")
        return "vegetation" if self.facts.cover > 0.4 else self.land()

    def bare(self) -> str:
        """The bare ground that is left."""
        return self.one_of("bareland", "bareland", "wasteland")

    # -- verbs -------------------------------------------------------------------------

    def appear(self, *, many: bool | None = None, perfect: bool = False) -> str:
        """The verb of something new; the number follows the new houses unless given."""
        # In most sentences the subject is the new houses.
        many = self.facts.houses > 1 if many is None else many
        plain: tuple[str, ...]
        if many:
            built = ("have been built", "have been constructed")
            plain = (
                "are built",
                "appear",
                "are constructed",
                "are built",
                "appear",
                "show up",
                "have appeared",
            )
        else:
            built = ("has been built", "has been constructed")
            plain = (
                "is built",
                "appears",
                "is constructed",
                "appears",
                "shows up",
                "has appeared",
            )
        # A clause with "to replace" reads well only after "has been built", not after
        # "appears".
        if perfect:
            return self.one_of(*built)
        return self.one_of(*plain, *built)

    def roads_are(self) -> str:
        """The verb of the roads just named."""
        return self.appear(many=self.many_roads)

    def built(self, many: bool) -> str:
        """The passive verb of something new."""
        if many:
            return self.one_of(
                "are built", "are constructed", "have been built", "are built"
            )
        return self.one_of("is built", "is constructed", "has been built", "is built")

    def vanish(self) -> str:
        """The verb of trees that go."""
        return self.one_of(
            "are removed",
            "disappear",
            "have been removed",
            "are cut down",
            "have disappeared",
        )

    def replace(self) -> str:
        """The active verb of new houses in the place of trees."""
        return "replace" if self.facts.houses > 1 else "replaces"

    def replaced(self) -> str:
        """The passive verb of trees that give way."""
        return self.one_of("are replaced", "have been replaced")

    def demolished(self) -> str:
        """The verb of houses that go."""
        if self.facts.gone > 1:
            return self.one_of(
                "disappear",
                "have been demolished",
                "are removed",
                "have disappeared",
                "are demolished",
            )
        return self.one_of(
            "disappears",
            "has been demolished",
            "is removed",
            "has disappeared",
            "is demolished",
        )

    def replaced_gone(self) -> str:
        """The passive verb of houses that give way."""
        if self.facts.gone > 1:
            return self.one_of("are replaced", "have been replaced")
        return self.one_of("is replaced", "has been replaced")
