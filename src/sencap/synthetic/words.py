"""Places and whole sentences in the words of LEVIR-CC's annotators, on their nouns and
verbs."""

from __future__ import annotations

from sencap.synthetic.phrases import Phrases

PLACES: dict[str, tuple[str, ...]] = {
    "top": (
        "at the top",
        "at the top of the scene",
        "on the top",
        "at the top side of the scene",
    ),
    "bottom": (
        "at the bottom",
        "at the bottom of the scene",
        "in the bottom",
        "at the bottom side of the scene",
    ),
    "left": (
        "on the left",
        "on the left side",
        "on the left side of the scene",
        "in the left of the scene",
    ),
    "right": (
        "on the right",
        "on the right side",
        "on the right side of the scene",
        "in the right of the scene",
    ),
    "center": (
        "in the center",
        "in the middle",
        "in the center of the scene",
        "in the middle of the scene",
    ),
}
# The four corners: people say upper and lower, or top and bottom, and use other
# prepositions with each.
for _row, _short in (("upper", "top"), ("lower", "bottom")):
    for _side in ("left", "right"):
        PLACES[f"{_row} {_side} corner"] = (
            f"in the {_row} {_side} corner",
            f"in the {_row} {_side} corner of the scene",
            f"at the {_short} {_side} corner",
            f"in the {_short} {_side}",
            f"in the {_row}-{_side} corner"
            if _row == "lower"
            else f"on the {_row} {_side}",
            f"at the {_short} {_side} corner of the scene",
        )


class Words(Phrases):
    """Draws phrases that are true of one change; every call draws anew."""

    # -- places ------------------------------------------------------------------------

    def place(self) -> str:
        """Where in the scene, or nothing if the change spreads."""
        return self.one_of(*PLACES[self.facts.place]) if self.facts.place else ""

    def ground(self) -> str:
        """On what ground."""
        ground = self.facts.ground
        if ground == "woods":
            return self.one_of(
                "in the woods", "in the forest", "in the woods", "among the trees"
            )
        if ground == "trees":
            return self.one_of("among the trees", "near the trees", "on the bareland")
        if ground == "grass":
            return self.one_of(
                "on the grass",
                "on the meadow",
                "on the grassland",
                "in the open space",
                "in the clearing",
            )
        if ground == "bareland":
            return self.one_of(
                "on the bareland",
                "on the bareland",
                "in the desert",
                "in the open space",
                "on the wasteland",
            )
        return self.one_of(
            "on the bareland",
            "in the open space",
            "in the clearing",
            "on the open space",
        )

    def _the_road(self) -> str:
        """The road or roads that something stands along."""
        rows = max(self.facts.rows, 1)
        # More than two rows stand along more than one road.
        if rows > 2 and self.facts.shape in ("crossroad", "parallel", "t-shaped"):
            return "the roads"
        return "the road"

    def along(self) -> str:
        """Along which road, or nothing if there is none."""
        # All houses must stand along a road, else the sentence would be true of some
        # only.
        if not (self.facts.along_old_road or self.facts.along_new_road):
            return ""
        road = self._the_road()
        # With two houses, one on each side, these words would promise more.
        if self.facts.both_sides and self.facts.houses >= 3 and self.rng.random() < 0.6:
            return f"on both sides of {road}"
        if self.facts.at_crossing and self.rng.random() < 0.4:
            near = "near the corner of the road"
            if self.facts.shape == "crossroad":
                near = "at the crossroad"
            return self.one_of("at the corner of the road", near)
        # Several houses stand along a road; of one or two people rather say beside or
        # near.
        if self.facts.houses > 2:
            return self.one_of(
                f"along {road}", f"along {road}", f"beside {road}", f"along {road}"
            )
        return self.one_of(
            "beside the road",
            "by the road",
            "near the road",
            "along the road",
            "next to the road",
        )

    def along_new(self) -> str:
        """Along the new roads."""
        ending = "s" if self.facts.roads > 1 else ""
        road = self.one_of("the road", "the new road", "the newly built road") + ending
        if self.facts.both_sides and self.rng.random() < 0.5:
            return f"on both sides of {road}"
        return self.one_of(f"along {road}", f"beside {road}", f"along {road}")

    def along_it(self) -> str:
        """Along the road just named."""
        # The road was named before in the same sentence, so "it" is clear; several
        # roads are never "it".
        if self.facts.roads > 1:
            if not self.facts.both_sides:
                return "along the roads"
            return self.one_of("on both sides of the roads", "along the roads")
        if self.facts.both_sides:
            return self.one_of(
                "on both sides of the road",
                "on both sides of it",
                "on both sides",
                "along the road",
            )
        return self.one_of("along the road", "beside the road", "beside it", "along it")

    def alongside(self) -> str:
        """How houses stand by the road just named."""
        if self.facts.both_sides:
            return self.one_of(
                "on both sides",
                "built along on both sides",
                "alongside",
                "on both sides",
            )
        return self.one_of(
            "alongside",
            "built along",
            "beside it" if self.facts.roads == 1 else "alongside",
        )

    def across(self) -> str:
        """Through what a road runs."""
        if self.facts.ground == "woods":
            return self.one_of(
                "across the forest",
                "through the woods",
                "in the woods",
                "across the woods",
            )
        if self.facts.ground == "trees":
            return self.one_of(
                "among the trees", "through the trees", "across the trees"
            )
        return f"{self.one_of('across', 'on')} the {self.land()}"

    def beside_old(self) -> str:
        """Beside the houses that were there."""
        if self.facts.old_houses == 1:
            old = self.one_of("the original house", "the old house")
        else:
            old = self.one_of(
                "the original houses", "the existing houses", "the old houses"
            )
        return f"{self.one_of('near', 'beside', 'next to')} {old}"

    def beside_house(self) -> str:
        """Beside a house that was there."""
        return self.one_of(
            "beside the house",
            "near the house",
            "next to the house",
            "beside the villa",
        )

    def where(self) -> str:
        """Any one true place: along a road, on a ground, in a part of the scene."""
        # Every true phrase is as likely, but along a road twice as likely.
        options = [
            self.ground(),
            *(text for text in (self.along(), self.along(), self.place()) if text),
        ]
        return options[int(self.rng.integers(len(options)))]

    # -- whole sentences ---------------------------------------------------------------

    def row_sentence(self) -> str:
        """Rows of houses."""
        noun = self.one_of("houses", "buildings", "villas", "detached houses")
        where = self.where()
        if self.facts.one_row:
            verb = self.one_of(
                "is built", "appears", "is constructed", "has been built"
            )
            return f"a row of {noun} {verb} {where}"
        rows = (
            "two rows" if self.facts.rows == 2 and self.rng.random() < 0.7 else "rows"
        )
        verb = self.one_of("are built", "appear", "are constructed", "have been built")
        # Two rows may also stand on one side of two roads.
        if self.facts.both_sides and self.facts.rows == 2 and self.rng.random() < 0.6:
            where = "on both sides of the road"
        return f"{rows} of {noun} {verb} {where}"

    def residential(self) -> str:
        """A whole estate."""
        houses = self.one_of(
            "many houses",
            "massive houses",
            "lots of houses",
            "some houses",
            "several houses",
        )
        roads = "roads" if self.facts.roads > 1 else "a road"
        where = self.ground()
        return self.one_of(
            f"a residential area with {houses} and {roads} appears",
            f"a residential area with {houses} and {roads} {self.built(False)} {where}",
            f"a residential area with {roads} and neatly arranged houses appears "
            f"{where}",
            f"many neatly arranged houses and {roads} appear {where}",
        )
