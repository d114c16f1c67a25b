import numpy as np
import pandas as pd
import pytest

from forecasting.errors import ForecastingError, SeriesError, SeriesTooShortError
from forecasting.outliers import decompose, flag_outliers, weekly


def frame(y, *, unique_id="A", end="2023-11-10"):
    ds = pd.date_range(end=end, periods=len(y), freq="W-FRI")
    return pd.DataFrame({"unique_id": unique_id, "ds": ds, "y": np.asarray(y, dtype=float)})


def seasonal(n=260, seed=1):
    t = np.arange(n)
    return 5000 + 300 * np.sin(2 * np.pi * t / 52) + np.random.default_rng(seed).normal(0, 30, n)


def test_gasoline_has_the_45_outliers_that_were_published(real_history):
    gasoline = real_history[(real_history["unique_id"] == "WGFUPUS2") & (real_history["ds"] <= "2023-05-12")]
    flags = flag_outliers(gasoline)
    outliers = flags.loc[flags["outlier"], "ds"]
    assert len(outliers) == 45
    assert outliers[outliers >= "2020-01-01"].iloc[0] == pd.Timestamp("2020-03-13")
    assert outliers.iloc[-1] == pd.Timestamp("2022-08-19")


def test_decomposition_adds_up_and_fences_are_three_ranges_from_the_quartiles():
    flags = flag_outliers(frame(seasonal()))
    np.testing.assert_allclose(flags["trend"] + flags["seasonal"] + flags["remainder"], flags["y"], rtol=1e-12)
    low, high = np.quantile(flags["remainder"], [0.25, 0.75])
    assert flags["lower"].unique() == pytest.approx([low - 3 * (high - low)])
    assert flags["upper"].unique() == pytest.approx([high + 3 * (high - low)])


def test_flags_the_weeks_that_were_spoilt():
    y = seasonal(624)
    y[300:318] -= 2000
    flags = flag_outliers(frame(y))
    assert flags.loc[300:317, "outlier"].all()
    assert sorted(flags["remainder"].nsmallest(18).index) == list(range(300, 318))
    assert flags["outlier"].equals(~flags["remainder"].between(flags["lower"], flags["upper"]))


def test_series_are_judged_apart():
    y = seasonal()
    y[100] -= 2000
    both = pd.concat([frame(seasonal(seed=2), unique_id="B"), frame(y)])
    flags = flag_outliers(both.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(
        flags[flags["unique_id"] == "A"].reset_index(drop=True), flag_outliers(frame(y)), check_like=True
    )
    assert flags["unique_id"].tolist() == ["A"] * 260 + ["B"] * 260


def test_a_missing_week_is_bridged_but_never_shows():
    whole = frame(seasonal())
    gappy = whole.drop(index=[50, 51])
    flags = flag_outliers(gappy)
    assert flags["ds"].tolist() == gappy["ds"].tolist()
    np.testing.assert_array_equal(flags["y"], gappy["y"])
    np.testing.assert_allclose(flags["trend"], flag_outliers(whole).drop(index=[50, 51])["trend"], atol=30)


def test_the_week_missing_from_all_products_is_bridged(real_history):
    history = real_history[(real_history["unique_id"] == "WRPUPUS2") & (real_history["ds"] <= "2023-05-12")]
    flags = flag_outliers(history)
    assert len(flags) == len(history)
    assert pd.Timestamp("1991-05-03") not in set(flags["ds"])
    assert np.isfinite(flags["remainder"]).all()


def test_weeks_are_put_in_order():
    y = weekly(frame([3.0, 1.0, 2.0]).iloc[::-1])
    assert y.tolist() == [3.0, 1.0, 2.0]
    assert y.name == "A"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: pd.concat([f, f.iloc[[7]]]), "stands twice"),
        (lambda f: f.assign(ds=f["ds"].where(f.index != 7, f["ds"] + pd.Timedelta(days=1))), "is not a Friday"),
        (lambda f: f.assign(y=f["y"].where(f.index != 7)), "has no finite figure"),
        (lambda f: f.assign(y=f["y"].where(f.index != 7, np.inf)), "has no finite figure"),
    ],
    ids=["twice", "saturday", "nan", "infinite"],
)
def test_names_the_series_and_week_that_are_wrong(spoil, message):
    with pytest.raises(SeriesError, match=rf"A: week 20\d\d-\d\d-\d\d {message}"):
        flag_outliers(spoil(frame(seasonal())))


def test_two_seasons_are_needed():
    assert len(decompose(weekly(frame(seasonal(104))))) == 104
    with pytest.raises(SeriesTooShortError, match="A: 103 weeks for robust STL of period 52, 104 are needed"):
        flag_outliers(frame(seasonal(103)))


def test_nothing_to_judge_is_an_error():
    with pytest.raises(ForecastingError, match="empty"):
        flag_outliers(frame([]))
    with pytest.raises(ForecastingError, match="fence 0"):
        flag_outliers(frame(seasonal()), fence=0)
