"""Γ of the contrastive pre-training: random crops, flips, colour and blur of whole
batches, on any device.

Shapes: images (B, n, 3, H, W), n dates of one input. Everything random is drawn on the
CPU (`draw`), a few numbers per input, and applied where the images are (`apply`): one
seed gives one result on every device. Resizing and blurring are products with small
matrices, one per input, so a batch needs no loop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sencap.errors import ShapeError
from sencap.pretraining.settings import ViewSettings

# Width over height of the random crop, and how often one is drawn before the largest that
# fits is taken, as RandomResizedCrop of torchvision has it.
ASPECTS = (3 / 4, 4 / 3)
TRIES = 10


@dataclass(frozen=True)
class Draws:
    """What Γ drew for B inputs of n dates.

    ``box`` (B, 4): top, left, height, width of the crop, whole pixels; ``flips`` (B,
    2): left-right, up-down. ``brightness``, ``contrast`` (factors), ``grey`` (bool) and
    ``sigma`` (0: no blur) are (B, n), or (B, 1) where the dates share them.
    """

    box: Tensor
    flips: Tensor
    brightness: Tensor
    contrast: Tensor
    grey: Tensor
    sigma: Tensor


def draw_transforms(
    B: int,
    n: int,
    size: tuple[int, int],
    settings: ViewSettings,
    generator: torch.Generator,
    *,
    augmented: bool = True,
) -> Draws:
    """Draw Γ for B inputs of n images of ``size`` = (height, width) pixels.

    Not ``augmented``: the crop alone is random.

    The geometry is one draw per input; colour is one per input or one per date, as
    ``settings.colour`` says. ``generator`` is one of the CPU.
    """
    # The draws are always as many and in the same order, whatever the probabilities: a
    # setting that is off does not move the others.
    box = _boxes(B, *size, settings.smallest, generator)
    # With shared colour the dates of an input keep their difference of colour.
    columns = n if settings.colour == "per-date" else 1

    def happens(probability: float, count: int = columns) -> Tensor:
        return torch.rand(B, count, generator=generator) < (
            probability if augmented else 0.0
        )

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(B, columns, generator=generator)

    # Brightness and contrast change together or not at all.
    changed = happens(settings.colour_probability)
    one = torch.ones(B, columns)
    return Draws(
        box=box,
        flips=happens(settings.flip_probability, 2),
        brightness=torch.where(
            changed, between(1 - settings.brightness, 1 + settings.brightness), one
        ),
        contrast=torch.where(
            changed, between(1 - settings.contrast, 1 + settings.contrast), one
        ),
        grey=happens(settings.grey_probability),
        sigma=torch.where(
            happens(settings.blur_probability), between(*settings.blur), 0 * one
        ),
    )


def apply(images: Tensor, draws: Draws, crop: int) -> Tensor:
    """Γ as drawn: uint8 (B, n, 3, H, W) → float32 (B, n, 3, crop, crop) in [0, 1], on
    the images' device.

    Crop and flips, then brightness, contrast (about each channel's mean; the mean over
    both dates where they share their colour, so that both go through the same
    function), grey, blur.

    Raises:
        ShapeError: another shape or type.
    """
    if images.ndim != 5 or images.shape[2] != 3 or images.dtype != torch.uint8:
        raise ShapeError(
            f"images are uint8 (B, n, 3, H, W); got {images.dtype} "
            f"{tuple(images.shape)}"
        )
    # Autocast would round pixels to 8 bits of mantissa or fewer.
    with torch.autocast(images.device.type, enabled=False), torch.no_grad():
        x = resized(images.float() / 255, draws.box, draws.flips, crop)
        x = _coloured(x, draws)
        return _blurred(x, draws.sigma)


def whole(images: Tensor, side: int) -> Tensor:
    """The images without chance: uint8 (B, n, 3, H, W), resized to a square, float32 in
    [0, 1]."""
    B, _, _, H, W = images.shape
    with torch.autocast(images.device.type, enabled=False), torch.no_grad():
        # The whole image is a crop, too.
        box = torch.tensor([[0, 0, H, W]]).expand(B, 4)
        return resized(
            images.float() / 255, box, torch.zeros(B, 2, dtype=torch.bool), side
        )


def resized(images: Tensor, box: Tensor, flips: Tensor, side: int) -> Tensor:
    """Each input's box, resized to a square by an antialiased triangle filter, and
    mirrored: (B, n, 3, side, side).

    ``images`` float (B, n, 3, H, W), ``box`` (B, 4) top, left, height, width, ``flips``
    (B, 2) bool.
    """
    B, n, C, H, W = images.shape
    top, left, height, width = box.to(images).unbind(1)
    leftright, updown = flips.to(images.device).unbind(1)
    # Crop, resizing and mirroring of one axis are one matrix: (B, side, H) and
    # (B, side, W). All dates and channels of an input get the same.
    rows = _filter(top, height, updown, side, H)[:, None]
    columns = _filter(left, width, leftright, side, W)[:, None]
    # (B, 1, side, H) @ (B, n·C, H, W) @ (B, 1, W, side) → (B, n·C, side, side)
    x = rows @ images.reshape(B, n * C, H, W) @ columns.transpose(2, 3)
    return x.reshape(B, n, C, side, side)


def _filter(
    start: Tensor, length: Tensor, mirrored: Tensor, side: int, size: int
) -> Tensor:
    """The matrices (B, side, size) that resize ``length`` of ``size`` pixels from
    ``start`` on to ``side``."""
    start, length = start[:, None, None], length[:, None, None]
    # Pixels of the image per pixel of the result; centres lie at one half.
    scale = length / side
    out = torch.arange(side, device=start.device)[None, :, None] + 0.5
    pixel = torch.arange(size, device=start.device)[None, None, :] + 0.5
    # A triangle of the width of one result pixel: linear interpolation where the crop
    # is enlarged, a weighted mean of all pixels where it is reduced (no aliasing).
    distance = (pixel - start - out * scale).abs() / scale.clamp(min=1)
    inside = (pixel > start) & (pixel < start + length)
    weights = (1 - distance).clamp(min=0) * inside
    # At the edge part of the triangle lies outside the crop; what is left weighs one.
    weights = weights / weights.sum(2, keepdim=True)
    return torch.where(mirrored[:, None, None], weights.flip(1), weights)


def _boxes(
    B: int, height: int, width: int, smallest: float, generator: torch.Generator
) -> Tensor:
    """Random boxes (B, 4): the first of ten drawn (area, aspect) that fits, or the
    largest of a fitting aspect."""
    # Shares of the area are drawn evenly, aspects evenly in the logarithm, so that 3:4
    # is as likely as 4:3.
    area = (
        height
        * width
        * (smallest + (1 - smallest) * torch.rand(B, TRIES, generator=generator))
    )
    low, high = (math.log(aspect) for aspect in ASPECTS)
    aspect = torch.exp(low + (high - low) * torch.rand(B, TRIES, generator=generator))
    h, w = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (h >= 1) & (h <= height) & (w >= 1) & (w <= width)
    # All tries at once for the whole batch; argmax finds the first that fits.
    first = fits.int().argmax(1, keepdim=True)
    h, w = h.gather(1, first)[:, 0], w.gather(1, first)[:, 0]
    fallback_w = min(width, round(height * ASPECTS[1]))
    fallback_h = min(height, round(width / ASPECTS[0]))
    any_fits = fits.any(1)
    h = torch.where(any_fits, h, torch.tensor(float(fallback_h)))
    w = torch.where(any_fits, w, torch.tensor(float(fallback_w)))
    place = torch.rand(B, 2, generator=generator)
    top = (place[:, 0] * (height - h + 1)).floor().minimum(height - h)
    left = (place[:, 1] * (width - w + 1)).floor().minimum(width - w)
    return torch.stack([top, left, h, w], dim=1)


def _coloured(x: Tensor, draws: Draws) -> Tensor:
    brightness, contrast = (
        t.to(x)[:, :, None, None, None] for t in (draws.brightness, draws.contrast)
    )
    shared = draws.brightness.shape[1] == 1
    x = (x * brightness).clamp(0, 1)
    # Contrast stretches about the mean of each channel, (B, n or 1, 3, 1, 1).
    mean = x.mean((1, 3, 4) if shared else (3, 4), keepdim=True)
    x = (mean + (x - mean) * contrast).clamp(0, 1)
    grey = draws.grey.to(x.device)[:, :, None, None, None]
    return torch.where(grey, x.mean(2, keepdim=True), x)


def _blurred(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of those with σ > 0; at the border the weights that lie inside are
    scaled to one."""
    B, n, C, H, W = x.shape
    sigma = sigma.expand(B, n).flatten()
    # σ is on the CPU, so that to count those chosen waits for no GPU.
    chosen = sigma.nonzero()[:, 0]
    if not len(chosen):
        return x
    flat = x.reshape(B * n, C, H, W)
    sigma, where = sigma[chosen].to(x), chosen.to(x.device)
    # A Gaussian blur is a product along each axis: (b, 1, H, H) @ (b, C, H, W) @
    # (b, 1, W, W).
    rows = _gauss(sigma, H)[:, None]
    columns = _gauss(sigma, W)[:, None]
    blurred = rows @ flat[where] @ columns.transpose(2, 3)
    return flat.index_copy(0, where, blurred).reshape(B, n, C, H, W)


def _gauss(sigma: Tensor, size: int) -> Tensor:
    """Blurring matrices (b, size, size) whose rows sum to one."""
    position = torch.arange(size, device=sigma.device)
    distance = position[None, :, None] - position[None, None, :]
    weights = torch.exp(-0.5 * (distance / sigma[:, None, None]) ** 2)
    return weights / weights.sum(2, keepdim=True)
