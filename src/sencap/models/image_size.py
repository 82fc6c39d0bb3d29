"""Whether a network takes images of a size: windows and tables of positions do not go
with each."""

from __future__ import annotations

import torch
from torch import nn

from sencap.errors import SencapError, SettingsError

# Sides that are tried for the advice, the usual ones first
_TRIED = (256, 224, 448, 384, 320, 288, 192, 128, 96, 64, 512)


def check_image_size(
    extractor: nn.Module, backbone: str, size: int, *, setting: str
) -> None:
    """Refuse a size that an extractor on the device meta cannot take; nothing is
    computed.

    Raises:
        SettingsError: it cannot; the message names ``setting``, the backbone and a size
            that it takes.
    """
    extractor.eval()
    if _takes(extractor, size):
        return
    others = [side for side in _TRIED if _takes(extractor, side)]
    advice = (
        f"{setting}={others[0]} goes"
        if others
        else "none of the usual sizes goes either"
    )
    raise SettingsError(
        f"{setting}={size}: extractor.backbone={backbone} cannot take images of "
        f"{size} × {size} pixels; {advice}, or choose another backbone, for example "
        "resnet50"
    )


def _takes(extractor: nn.Module, size: int) -> bool:
    images = torch.empty(1, 2, 3, size, size, device="meta")
    try:
        with torch.no_grad():
            extractor(images)
    except (SencapError, NotImplementedError):
        return True  # it says itself what is wrong; or a step that cannot be tried without numbers
    except Exception:  # timm's hundreds of networks fail in as many ways
        return False
    return True
