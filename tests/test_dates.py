"""Dates are found in names as people and usual products write them."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.dates import find_date, locate_date


@given(
    st.dates(datetime.date(1000, 1, 1)),
    st.sampled_from(["-", "_", ".", ""]),
    st.sampled_from(["", "m_47_se_", "x"]),
)
def test_a_date_is_found_in_its_usual_forms(
    date: datetime.date, mark: str, before: str
) -> None:
    text = mark.join((f"{date.year:04d}", f"{date.month:02d}", f"{date.day:02d}"))
    assert find_date(f"{before}{text}") == date
    assert find_date(f"{text}T100031_z", at_start=True) == date
    assert find_date(f"_{text}", at_start=True) is None


@pytest.mark.parametrize(
    "text",
    ["", "summer", "2020-06", "20201399", "2020-0604", "120200604", "4709963"],
)
def test_what_is_no_date_is_not_taken_for_one(text: str) -> None:
    assert find_date(text) is None


def test_a_later_date_is_found_behind_digits_that_are_none() -> None:
    assert find_date("20209999_20200604") == datetime.date(2020, 6, 4)


@pytest.mark.parametrize(
    "name",
    [
        "LC08_L2SP_193027_20200604_20200824_02_T1",
        "LC81930272020156LGN00",
        "S2A_MSIL2A_20200604T105031_N0214_R051_T32TQM_20200607T134512",
        "T32TQM_20200604T105031_B04",
        "S1A_IW_GRDH_1SDV_20200604T053000_20200604T053025_032868",
        "20200604_105031_1003_3B_AnalyticMS",
        "HLS.S30.T32TQM.2020156T105031.v2.0.B04",
        "MOD09GA.A2020156.h18v04.061.2020158033012",
        "MOD13Q1.061__250m_16_days_NDVI_doy2020156_aid0001",
        "ECO2LSTE.001_SDS_LST_doy2020156105031_aid0001",
        "IMG_PHR1A_MS_202006041031222_ORT",
        "20JUN04105031-M2AS_R1C1",
        "drone_20200604105031",
        "DJI_202006041050_0001",
        "ndvi_2020156",
    ],
)
def test_dates_of_usual_products_are_found(name: str) -> None:
    assert find_date(name) == datetime.date(2020, 6, 4)


@given(st.dates(datetime.date(1950, 1, 1), datetime.date(2099, 12, 31)))
def test_a_day_of_the_year_is_its_date(date: datetime.date) -> None:
    assert find_date(f"MOD09GA.A{date:%Y%j}.h18v04") == date


@pytest.mark.parametrize(
    "name",
    [
        "A2019366", "A2019000", "A2020367", "A2020400",  # no such days
        "20200604250000",  # no such hour
        "2020156x", "x2020156", "20201561", "scene-3020156",  # seven digits that may mean anything
    ],
)  # fmt: skip
def test_what_is_no_day_of_a_year_is_none(name: str) -> None:
    assert find_date(name) is None


def test_a_day_of_the_year_without_a_sign_is_taken_only_where_there_is_no_better_date() -> (
    None
):
    assert find_date("2020156_20210304") == datetime.date(2021, 3, 4)


@pytest.mark.parametrize(
    "date", ["20200604", "2020-06-04", "20200604T105031", "A2020156"]
)
def test_the_place_of_a_date_includes_its_time(date: str) -> None:
    found = locate_date(f"site_{date}_rgb")
    assert found == (datetime.date(2020, 6, 4), 5, 5 + len(date))


@given(st.text(alphabet="0123456789AT._-doyJUNLC", max_size=40))
def test_any_text_has_a_date_or_none(text: str) -> None:
    found = locate_date(text)
    assert found is None or 0 <= found[1] < found[2] <= len(text)
