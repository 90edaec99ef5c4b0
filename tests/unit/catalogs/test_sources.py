"""A catalog is a table of sources that keeps its columns of one length, and that nobody changes."""

import dataclasses

import numpy as np
import pytest

from imagereg.catalogs.sources import Flag, SourceCatalog

COLUMNS = [field.name for field in dataclasses.fields(SourceCatalog)]


def some_catalog(n=5, **columns):
    """Return a catalog in which every value differs from every other of its column."""
    rows = np.arange(n)
    given = {"xy": np.column_stack([rows, rows + 100.0]), "xy_error": np.column_stack([rows, rows]) / 10 + 0.01,
             "flux": 1000.0 - rows, "flux_error": rows + 3.0, "ident": rows + 10, "chip": rows % 2 + 1,
             "sharp": rows / 7, "round1": rows / 8, "round2": rows / 9, "flags": rows * 2,
             "sky": np.column_stack([rows + 5.0, rows - 5.0]), "sky_error": np.column_stack([rows, rows]) / 99 + 0.1,
             "origin": [f"file{row}.fits" for row in rows]}
    return SourceCatalog(**{**given, **columns})


def assert_rows(catalog, source, rows):
    """Check that `catalog` holds the given rows of `source`, in every column."""
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(catalog, name), getattr(source, name)[rows], err_msg=name)


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_read_only(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(some_catalog(), name)[0] = getattr(some_catalog(), name)[1]


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_cannot_be_set(name):
    with pytest.raises(AttributeError):
        setattr(some_catalog(), name, None)


def test_given_arrays_are_copied():
    xy = np.zeros((2, 2))
    catalog = SourceCatalog(xy)
    xy[0] = 7
    assert catalog.xy[0, 0] == 0
    assert xy.flags.writeable


def test_columns_not_given():
    catalog = SourceCatalog([(1, 2), (3, 4), (5, 6)])
    assert catalog.xy.dtype == np.float64
    np.testing.assert_array_equal(catalog.ident, [1, 2, 3])
    np.testing.assert_array_equal(catalog.chip, [1, 1, 1])
    np.testing.assert_array_equal(catalog.flags, [0, 0, 0])
    assert catalog.origin.tolist() == [""] * 3
    for name in ("xy_error", "sky", "sky_error"):
        assert getattr(catalog, name).shape == (3, 2)
        assert np.isnan(getattr(catalog, name)).all()
    for name in ("flux", "flux_error", "sharp", "round1", "round2"):
        assert getattr(catalog, name).shape == (3,)
        assert np.isnan(getattr(catalog, name)).all()


def test_one_value_for_all_rows():
    catalog = SourceCatalog([(1, 2), (3, 4)], chip=2, origin="a_flt.fits", flux=5, flags=Flag.BAD_PIXEL | Flag.ASTRAY)
    assert catalog.chip.tolist() == [2, 2]
    assert catalog.origin.tolist() == ["a_flt.fits"] * 2
    assert catalog.flux.tolist() == [5, 5]
    assert catalog.flags.tolist() == [5, 5]


@pytest.mark.parametrize("columns", [{"flux": [1, 2]}, {"xy_error": [0.1, 0.1, 0.1]}, {"sky": np.zeros((3, 3))},
                                     {"ident": []}, {"origin": ["a", "b"]}, {"flags": np.zeros((3, 1), int)}],
                         ids=lambda columns: next(iter(columns)))
def test_column_of_another_shape(columns):
    name = next(iter(columns))
    with pytest.raises(ValueError, match=rf"column '{name}' has shape .*, expected \(3"):
        SourceCatalog([(1, 2), (3, 4), (5, 6)], **columns)


@pytest.mark.parametrize("xy", [[1, 2, 3], [[1, 2, 3]], [[1, 2, 3], [4, 5, 6]], [1, 2, 3, 4], 5.0])
def test_positions_of_another_shape(xy):
    with pytest.raises(ValueError, match="shape"):
        SourceCatalog(xy)


@pytest.mark.parametrize("rows", [np.array([True, False, True, True, False]), [4, 0, 0], np.array([2]), slice(1, 4),
                                  slice(None, None, -2), slice(0, 0), [], np.zeros(5, bool), [-1]], ids=str)
def test_rows(rows):
    catalog = some_catalog()
    picked = catalog[rows]
    assert_rows(picked, catalog, rows)
    assert len(picked) == len(catalog.xy[rows])


@pytest.mark.parametrize("row", [0, 3, 4, -1, -5, np.int64(2)])
def test_one_row_is_a_catalog_of_length_one(row):
    catalog = some_catalog()
    assert len(catalog[row]) == 1
    assert_rows(catalog[row], catalog, [row])


@pytest.mark.parametrize("rows", [5, -6, [5], np.array([True, False])], ids=str)
def test_no_such_row(rows):
    with pytest.raises(IndexError):
        some_catalog()[rows]


def test_iteration_ends():
    # A class with __getitem__ and no __iter__ is iterated over until an IndexError: a row that is not there must raise.
    rows = [source for source, _ in zip(some_catalog(3), range(10), strict=False)]
    assert [source.ident.tolist() for source in rows] == [[10], [11], [12]]


def test_replace():
    catalog = some_catalog()
    changed = catalog.replace(flux=np.arange(5.0))
    assert changed.flux.tolist() == [0, 1, 2, 3, 4]
    assert catalog.flux[0] == 1000
    assert_rows(changed.replace(flux=catalog.flux), catalog, slice(None))
    with pytest.raises(ValueError, match="flux"):
        catalog.replace(flux=[1.0])


@pytest.mark.parametrize(("n", "idents"), [
    (None, [1, 2, 3, 4, 5]), (9, [1, 2, 3, 4, 5]), (5, [1, 2, 3, 4, 5]), (4, [1, 2, 3, 5]), (3, [1, 3, 5]), (2, [1, 3]),
    (1, [3]), (0, []), (-1, [])])
def test_brightest(n, idents):
    # drizzlepac's nbright=1 kept two
    catalog = SourceCatalog(np.zeros((5, 2)), flux=[7, -3, 9, np.nan, 5])
    assert catalog.brightest(n).ident.tolist() == idents


def test_brightest_of_equals_is_the_first():
    assert SourceCatalog(np.zeros((4, 2)), flux=[1, 5, 5, 5]).brightest(2).ident.tolist() == [2, 3]


def test_brightest_without_any_flux():
    assert SourceCatalog(np.zeros((4, 2))).brightest(2).ident.tolist() == [1, 2]


def test_brightest_where_flux_is_infinite():
    assert SourceCatalog(np.zeros((4, 2)), flux=[1, np.inf, -np.inf, 5]).brightest(2).ident.tolist() == [2, 4]


def uniform(n, seed=3, **columns):
    rng = np.random.default_rng(seed)
    return SourceCatalog(rng.uniform(0.5, [4096.5, 2048.5], (n, 2)), flux=rng.permutation(n) + 1.0, **columns)


def corners_of(sources):
    """Count the sources in each of 16 parts of a chip."""
    return np.histogram2d(*sources.xy.T, bins=4, range=[(0.5, 4096.5), (0.5, 2048.5)])[0]


def test_best_are_spread_over_the_chip():
    everywhere, clump = uniform(3000), uniform(3000, seed=4)
    clump = clump.replace(xy=clump.xy / 8, flux=clump.flux + 1e5)  # brighter than all others
    sources = SourceCatalog.concat([everywhere, clump])
    assert corners_of(sources.brightest(1000)).max() == 1000
    best = sources.best(1000, (2048, 4096))
    assert len(best) == 1000
    assert corners_of(best).min() > 40 and corners_of(best).max() < 100
    assert (np.diff(best.ident) > 0).all()


def test_best_of_each_cell_have_most_signal_to_noise():
    sources = uniform(2000, flux_error=np.linspace(1, 50, 2000))
    best = sources.best(200, (100, 100_000)).ident - 1  # cells are slices in x
    ratio = sources.flux / sources.flux_error
    assert ratio[best].min() > np.median(ratio)
    assert np.argmax(ratio) in best


def test_best_fill_up_from_elsewhere():
    """A chip whose sources are nearly all in one cell gives as many as are asked for."""
    sources = uniform(500)
    sources = sources.replace(xy=np.where(np.arange(500)[:, None] < 490, sources.xy / 100, sources.xy))
    best = sources.best(100, (2048, 4096))
    assert len(best) == 100
    assert set(range(490, 500)) <= set(best.ident - 1)


def test_best_are_reliable_before_they_are_bright():
    flags = np.where(np.arange(1000) % 50 == 0, Flag.BAD_PIXEL, Flag.POOR_FIT)
    sources = uniform(1000, flags=flags)
    few = sources.replace(flux=np.where(flags == Flag.BAD_PIXEL, 1.0, 1e6)).best(30, (2048, 4096))
    assert (few.flags == Flag.BAD_PIXEL).sum() == 20
    assert (few.flags == Flag.POOR_FIT).sum() == 10


@pytest.mark.parametrize("n", [None, 7, 8])
def test_best_of_few_are_all(n):
    assert uniform(7).best(n, (2048, 4096)).ident.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_best_without_any_flux_or_sources():
    unknown = SourceCatalog(uniform(300).xy).best(100, (2048, 4096))
    assert len(unknown) == 100 and corners_of(unknown).min() > 0
    assert len(SourceCatalog.empty().best(3, (2048, 4096))) == 0


def test_concat_renumbers():
    first, second = some_catalog(3), some_catalog(2, origin="another, longer name.fits")
    both = SourceCatalog.concat([first, second])
    assert both.ident.tolist() == [1, 2, 3, 4, 5]
    for name in set(COLUMNS) - {"ident"}:
        np.testing.assert_array_equal(getattr(both, name)[:3], getattr(first, name))
        np.testing.assert_array_equal(getattr(both, name)[3:], getattr(second, name))


def test_concat_takes_any_iterable_and_nothing():
    assert len(SourceCatalog.concat(iter([]))) == 0
    assert len(SourceCatalog.concat(c for c in [some_catalog(2), SourceCatalog.empty(), some_catalog(1)])) == 3


def test_empty():
    empty = SourceCatalog.empty()
    assert len(empty) == 0
    for name in COLUMNS:
        assert getattr(empty, name).shape == (0, 2)[:getattr(some_catalog(), name).ndim]
        assert getattr(empty, name).dtype.kind == getattr(some_catalog(), name).dtype.kind
    assert len(empty[:3]) == len(empty[np.zeros(0, bool)]) == len(empty.brightest(3)) == 0
    assert len(SourceCatalog([])) == 0
    with pytest.raises(IndexError):
        empty[0]
