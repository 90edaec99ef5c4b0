"""Any similarity transform is found through any contamination, and from either side."""

import numpy as np
from fields import match_pattern
from hypothesis import given
from hypothesis import strategies as st

transforms = st.fixed_dictionaries({
    "turn": st.floats(0, 2 * np.pi), "scale": st.floats(0.81, 1.2), "parity": st.sampled_from([1, -1]),
    "shift": st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5))})
fields = st.fixed_dictionaries({
    "seed": st.integers(0, 10**6), "shared": st.integers(6, 40), "false": st.floats(0, 0.7)})


def lists(transform, field):
    """Return an image list, a reference list, their fluxes, matrix and shift."""
    random, shared = np.random.default_rng(field["seed"]), field["shared"]
    total = int(shared / (1 - field["false"]))
    cosine, sine = np.cos(transform["turn"]), np.sin(transform["turn"])
    matrix = transform["scale"] * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([1, transform["parity"]])
    image, ref = random.uniform(0, 4000, (2, total, 2))
    ref[:shared] = image[:shared]
    ref = ref @ matrix.T + transform["shift"] + random.normal(0, 0.2, ref.shape)
    image_flux, ref_flux = random.exponential(1, (2, total))
    ref_flux[:shared] = image_flux[:shared]
    order = random.permutation(total)
    return image, ref[order], {"image_flux": image_flux, "ref_flux": ref_flux[order]}, (matrix, transform["shift"])


@given(transform=transforms, field=fields)
def test_any_transform_is_found(transform, field):
    image, ref, fluxes, (matrix, shift) = lists(transform, field)
    found = match_pattern(image, ref, tolerance=1.0, **fluxes)
    np.testing.assert_allclose(found(image), image @ matrix.T + shift, atol=3.0)
    assert len(found) >= 0.9 * field["shared"]
    assert found.parity == transform["parity"]
    assert found.chance_probability < 1e-6


@given(transform=transforms, field=fields)
def test_exchanged_lists(transform, field):
    image, ref, fluxes, _ = lists(transform, field)
    there = match_pattern(image, ref, tolerance=1.0, **fluxes)
    back = match_pattern(ref, image, tolerance=1.0, image_flux=fluxes["ref_flux"], ref_flux=fluxes["image_flux"])
    np.testing.assert_allclose(back(there(image)), image, atol=3.0)
    assert abs(len(back) - len(there)) <= 2
    assert back.parity == there.parity


@given(transform=transforms, field=fields, step=st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)))
def test_where_the_origin_lies_does_not_matter(transform, field, step):
    image, ref, fluxes, _ = lists(transform, field)
    here = match_pattern(image, ref, tolerance=1.0, **fluxes)
    there = match_pattern(image + step, ref, tolerance=1.0, **fluxes)
    np.testing.assert_allclose(there(image + step), here(image), atol=1e-4)
