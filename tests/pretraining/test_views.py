"""Γ: geometry shared by the dates, colour shared or not, ranges, and equality with
torchvision's slow way."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional as reference  # type: ignore[import-untyped]

from sencap.errors import ShapeError
from sencap.pretraining.pairs import AUGMENTED
from sencap.pretraining.settings import PretrainingSettings, ViewSettings
from sencap.pretraining.task import make_views
from sencap.pretraining.views import apply, draw_transforms, resized, whole

PLAIN = ViewSettings(
    crop=32,
    colour_probability=0,
    grey_probability=0,
    blur_probability=0,
    flip_probability=0.5,
)
EVERYTHING = ViewSettings(crop=32, colour_probability=1, blur_probability=1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(B: int, n: int = 2, H: int = 48, W: int = 40) -> Tensor:
    return torch.randint(
        0, 256, (B, n, 3, H, W), generator=seeded(9), dtype=torch.uint8
    )


def test_a_marked_pixel_lands_on_the_same_spot_at_both_dates() -> None:
    images = torch.zeros(200, 2, 3, 48, 40, dtype=torch.uint8)
    rows = torch.randint(0, 48, (200,), generator=seeded(1))
    columns = torch.randint(0, 40, (200,), generator=seeded(2))
    images[torch.arange(200), :, :, rows, columns] = 255
    settings = ViewSettings(
        crop=32, colour="per-date", colour_probability=0, blur_probability=0
    )
    seen = apply(
        images, draw_transforms(200, 2, (48, 40), settings, seeded()), 32
    ).mean(2)  # (200, 2, 32, 32)
    spots = seen.flatten(2).argmax(2)
    visible = seen.flatten(1).amax(1) > 0
    assert 50 < int(visible.sum()) < 190, "some are cropped away, some are not"
    assert torch.equal(spots[visible, 0], spots[visible, 1])
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert len(set(spots[visible, 0].tolist())) > 30, (
        "the geometry differs from place to place"
    )


def test_crop_and_flips_are_those_of_torchvision() -> None:
    images = noise(12)
    draws = draw_transforms(12, 2, (48, 40), PLAIN, seeded(3))
    assert 0 < int(draws.flips[:, 0].sum()) < 12
    assert 0 < int(draws.flips[:, 1].sum()) < 12
    found = apply(images, draws, 32)
    for b in range(12):
        top, left, height, width = (int(v) for v in draws.box[b])
        expected = reference.resized_crop(
            images[b].float() / 255, top, left, height, width, [32, 32], antialias=True
        )
        expected = reference.hflip(expected) if draws.flips[b, 0] else expected
        expected = reference.vflip(expected) if draws.flips[b, 1] else expected
        torch.testing.assert_close(found[b], expected, atol=2e-5, rtol=0)


def test_enlarging_and_shrinking_are_those_of_torchvision() -> None:
    image = noise(1)
    for side in (8, 24, 100):
        box = torch.tensor([[5.0, 3.0, 30.0, 36.0]])
        found = resized(image / 255, box, torch.zeros(1, 2, dtype=torch.bool), side)
        expected = reference.resized_crop(
            image[0] / 255, 5, 3, 30, 36, [side, side], antialias=True
        )
        torch.testing.assert_close(found[0], expected, atol=2e-5, rtol=0)
        expected = reference.resize(image[0] / 255, [side, side], antialias=True)
        torch.testing.assert_close(whole(image, side)[0], expected, atol=2e-5, rtol=0)


def test_boxes_lie_inside_and_cover_the_areas_asked_for() -> None:
    for height, width in ((264, 264), (48, 40), (300, 20)):
        box = draw_transforms(3000, 2, (height, width), ViewSettings(), seeded(4)).box
        top, left, h, w = box.unbind(1)
        assert torch.equal(box, box.round())
        assert bool(((top >= 0) & (left >= 0) & (h >= 1) & (w >= 1)).all())
        assert bool(((top + h <= height) & (left + w <= width)).all())
        if height == width:
            share = h * w / (height * width)
            assert 0.19 < float(share.min()) < 0.22
            assert float(share.max()) > 0.95
            # ln 4/3 = 0.288, and rounding.
            assert bool((((w / h).log().abs()) < 0.30).all())
            assert float(top.max()) > 100
            assert float(top.min()) == 0


def test_shared_colour_is_one_function_of_the_pixels_and_per_date_colour_two() -> None:
    same = noise(6, n=1).expand(6, 2, 3, 48, 40).contiguous()
    shared = apply(same, draw_transforms(6, 2, (48, 40), EVERYTHING, seeded()), 32)
    assert torch.equal(shared[:, 0], shared[:, 1])
    apart_settings = ViewSettings(
        crop=32, colour="per-date", colour_probability=1, blur_probability=1
    )
    apart = apply(same, draw_transforms(6, 2, (48, 40), apart_settings, seeded()), 32)
    assert all(
        not torch.allclose(apart[b, 0], apart[b, 1], atol=1e-2) for b in range(6)
    )
    # dates of different content under shared colour: equal pixels stay equal, though
    # the dates' means differ
    half = torch.full((1, 2, 3, 32, 32), 100, dtype=torch.uint8)
    half[:, 1, :, :, 16:] = 250
    colour = ViewSettings(
        crop=32,
        smallest=1,
        colour_probability=1,
        grey_probability=0,
        blur_probability=0,
        flip_probability=0,
    )
    view = apply(half, draw_transforms(1, 2, (32, 32), colour, seeded(5)), 32)
    torch.testing.assert_close(view[0, 0, :, :, :12], view[0, 1, :, :, :12])


def test_brightness_contrast_and_grey_are_what_their_formulas_say() -> None:
    images = noise(5)
    settings = ViewSettings(
        crop=32,
        colour="per-date",
        colour_probability=1,
        grey_probability=0.5,
        blur_probability=0,
    )
    draws = draw_transforms(5, 2, (48, 40), settings, seeded(6))
    assert 0 < int(draws.grey.sum()) < 10
    assert float(draws.brightness.min()) >= 0.6
    assert float(draws.brightness.max()) <= 1.4
    found = apply(images, draws, 32)
    plain = resized(images / 255, draws.box, draws.flips, 32)
    for b in range(5):
        for date in range(2):
            x = (plain[b, date] * draws.brightness[b, date]).clamp(0, 1)
            mean = x.mean((1, 2), keepdim=True)
            x = (mean + draws.contrast[b, date] * (x - mean)).clamp(0, 1)
            if draws.grey[b, date]:
                x = x.mean(0, keepdim=True).expand(3, -1, -1)
            torch.testing.assert_close(found[b, date], x)


def test_blur_is_gaussian_and_keeps_a_flat_image_flat() -> None:
    settings = ViewSettings(
        crop=33,
        smallest=1,
        colour_probability=0,
        grey_probability=0,
        blur_probability=0.5,
        flip_probability=0,
    )
    dot = torch.zeros(40, 1, 3, 33, 33, dtype=torch.uint8)
    dot[..., 16, 16] = 255
    draws = draw_transforms(40, 1, (33, 33), settings, seeded(7))
    # The crop's aspect is random; not here.
    draws.box[:] = torch.tensor([0.0, 0.0, 33.0, 33.0])
    found = apply(dot, draws, 33)
    blurred = draws.sigma[:, 0] > 0
    assert 0 < int(blurred.sum()) < 40
    assert torch.equal(found[~blurred], dot[~blurred] / 255)
    for b in blurred.nonzero()[:, 0].tolist():
        sigma = float(draws.sigma[b, 0])
        expected = reference.gaussian_blur(dot[b] / 255, [31, 31], [sigma, sigma])
        torch.testing.assert_close(found[b], expected, atol=1e-5, rtol=0)
    ramp = noise(40, 1, 33, 33)
    flat = torch.full_like(ramp, 77)
    torch.testing.assert_close(apply(flat, draws, 33), flat / 255)
    pixels = apply(ramp, draws, 33)
    assert float(pixels.min()) >= 0
    assert float(pixels.max()) <= 1 + 1e-6


def test_one_seed_gives_one_view_and_another_seed_another() -> None:
    images = noise(4)
    settings = PretrainingSettings(data="d", out="o", views=EVERYTHING)
    batch = images[:, None].expand(4, 2, 2, 3, 48, 40)
    first, second = (make_views(batch, settings, seeded(8)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1]), "query and key draw their own Γ"
    assert not torch.equal(first[0], make_views(batch, settings, seeded(9))[0])


def test_views_that_are_not_augmented_keep_their_colours_and_are_cropped() -> None:
    settings = PretrainingSettings(data="d", out="o", method="seco", views=EVERYTHING)
    flat = (
        torch.tensor([30, 90, 200], dtype=torch.uint8)
        .reshape(1, 1, 1, 3, 1, 1)
        .expand(8, 4, 1, 3, 48, 40)
    )
    for view, augmented in zip(
        make_views(flat, settings, seeded()), AUGMENTED["seco"], strict=True
    ):
        assert torch.allclose(view, flat[:, 0, :, :, :32, :32] / 255) != augmented
    crops = make_views(
        noise(8)[:, None, :1].expand(8, 4, 1, 3, 48, 40), settings, seeded()
    )
    assert not torch.allclose(crops[0], crops[2]), (
        "query and season key have crops of their own"
    )


def test_autocast_does_not_touch_pixels() -> None:
    images, draws = noise(3), draw_transforms(3, 2, (48, 40), EVERYTHING, seeded())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = apply(images, draws, 32)
    assert torch.equal(rounded, apply(images, draws, 32))


def test_other_images_are_refused() -> None:
    draws = draw_transforms(1, 2, (48, 40), PLAIN, seeded())
    with pytest.raises(ShapeError, match=r"uint8 \(B, n, 3, H, W\); got torch.float32"):
        apply(noise(1).float(), draws, 32)
    with pytest.raises(ShapeError, match=r"got torch.uint8 \(1, 2, 4, 48, 40\)"):
        apply(torch.zeros(1, 2, 4, 48, 40, dtype=torch.uint8), draws, 32)
