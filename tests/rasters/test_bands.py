"""Which bands are red, green and blue."""

from __future__ import annotations

import pytest

from sencap.errors import SettingsError
from sencap.rasters import check_bands, choose_bands


@pytest.mark.parametrize(
    ("given", "numbers", "told_by"),
    [
        ({"count": 3}, (1, 2, 3), "order"),
        ({"count": 1}, (1,), "order"),
        ({"count": 2, "alpha": 2}, (1,), "order"),
        ({"count": 4, "alpha": 1}, (2, 3, 4), "order"),
        ({"count": 4, "names": ("Blue", "Green", "Red", "NIR")}, (3, 2, 1), "names"),
        ({"count": 4, "names": ("B02", "B03", "B04", "B08")}, (3, 2, 1), "names"),
        ({"count": 3, "names": ("B4", " b3 ", "B2")}, (1, 2, 3), "names"),
        ({"count": 4, "names": ("SR_B2", "SR_B3", "SR_B4", "SR_B5")}, (3, 2, 1), "names"),
        ({"count": 3, "names": ("B4, red (665 nm)", "B3, green", "B2, central wavelength 490 nm")},
         (1, 2, 3), "names"),
        ({"count": 4, "names": ("T32_B02_10m", "T32_B03_10m", "T32_B04_10m", "T32_B08_10m")},
         (3, 2, 1), "names"),
        ({"count": 5, "names": ("Red edge", "Blue (490)", "Green: 560", "Red; 665", "B8A")},
         (4, 3, 2), "names"),
        ({"count": 3, "names": ("blue", "green", None)}, (1, 2, 3), "order"),
        ({"count": 3, "colours": ("blue", "green", "red")}, (3, 2, 1), "colours"),
        ({"count": 3, "names": ("red", "green", "blue"), "wanted": (3, 1, 2)}, (3, 1, 2), "given"),
        ({"count": 5, "names": ("B08", "B04", "B03"), "wanted": ("b08", "red", 3)}, (1, 2, 3),
         "given"),
        ({"count": 5, "wanted": (4,)}, (4,), "given"),
        ({"count": 3, "colours": ("blue", "green", "red"), "wanted": ("red", 2, "blue")},
         (3, 2, 1), "given"),
    ],
)  # fmt: skip
def test_bands_are_given_or_told_by_names_then_colours_then_order(
    given: dict[str, object], numbers: tuple[int, ...], told_by: str
) -> None:
    bands = choose_bands(**given)  # type: ignore[arg-type]
    assert (bands.numbers, bands.told_by) == (numbers, told_by)


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ((1, 2, 9), "it has 4 bands, but band 9 is wanted"),
        (
            ("red", "green", "swir"),
            r"no band named 'swir'; the names that it has: red, green",
        ),
    ],
)
def test_bands_that_a_file_lacks_are_refused(
    wanted: tuple[int | str, ...], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        choose_bands(4, names=("red", "green", None, None), wanted=wanted)


@pytest.mark.parametrize(
    "bands", [(1, 2), (), (0, 1, 2), ("red", "", "blue"), (1, 2, 3, 4)]
)
def test_what_cannot_be_bands_is_refused(bands: tuple[int | str, ...]) -> None:
    with pytest.raises(SettingsError, match="must be three numbers from 1, or names"):
        check_bands(bands)
