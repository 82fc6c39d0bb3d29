"""The extractor: what is frozen, whose statistics move, the three structures, and what
it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reference.weights import randomised
from sencap.config import FineTuneFrom, ModelSettings
from sencap.errors import CheckpointError, SencapError, SettingsError, ShapeError
from sencap.foreign import initialise_backbone
from sencap.foreign.read import read
from sencap.models.extractors import (
    STAGES,
    Extractor,
    FeatureExtractor,
    PooledExtractor,
)
from sencap.models.variants import build

# What of each backbone lies before and in each stage; the stage of stride 2 is the
# stem's.
LAYOUTS: dict[str, list[list[str]]] = {
    "resnet18": [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]],
    "resnet50": [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]],
    "tf_efficientnet_lite0": [
        ["conv_stem", "bn1", "blocks.0"],
        ["blocks.1"],
        ["blocks.2"],
        ["blocks.3", "blocks.4"],
        ["blocks.5", "blocks.6"],
    ],
    "convnext_atto": [
        ["stem_0", "stem_1"],
        ["stages_0"],
        ["stages_1"],
        ["stages_2"],
        ["stages_3"],
    ],
}


def extractor(**settings: Any) -> FeatureExtractor:
    torch.manual_seed(0)
    return FeatureExtractor(
        **{"backbone": "resnet18", "stage": 1, "dimension": 8, **settings}
    )


def pairs(B: int = 2, size: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(
        B, 2, 3, size, size, generator=torch.Generator().manual_seed(seed)
    )


def belongs(parameter: str, modules: list[str]) -> bool:
    return any(parameter.startswith(f"{module}.") for module in modules)


@pytest.mark.parametrize("start", get_args(FineTuneFrom))
@pytest.mark.parametrize("backbone", LAYOUTS)
def test_everything_before_the_start_layer_is_frozen_and_nothing_else(
    backbone: str, start: FineTuneFrom
) -> None:
    layout = LAYOUTS[backbone]
    with torch.device("meta"):
        built = extractor(backbone=backbone, stage=4, fine_tune_from=start)
    frozen = [module for stage in layout[: STAGES.index(start)] for module in stage]
    everything = [module for stage in layout for module in stage]
    for name, parameter in built.backbone.named_parameters():
        assert belongs(name, everything), f"the test's layout has no {name}"
        assert parameter.requires_grad != belongs(name, frozen), name
    assert all(parameter.requires_grad for parameter in built.P.parameters())
    assert any(
        parameter.requires_grad for parameter in built.backbone.parameters()
    ) == (start != "none")


@pytest.mark.parametrize(("start", "frozen"), [("conv4_x", 3), ("none", 4)])
@pytest.mark.parametrize(
    "backbone", ["resnet18", "tf_efficientnet_lite0", "convnext_atto"]
)
def test_freezing_at_stage_3(backbone: str, start: FineTuneFrom, frozen: int) -> None:
    with torch.device("meta"):
        built = extractor(backbone=backbone, stage=3, fine_tune_from=start)
    modules = [module for stage in LAYOUTS[backbone][:frozen] for module in stage]
    later = [
        name
        for name, _ in built.backbone.named_parameters()
        if belongs(name, LAYOUTS[backbone][4])
    ]
    for name, parameter in built.backbone.named_parameters():
        if name in later:
            continue
        assert parameter.requires_grad != belongs(name, modules), name


@pytest.mark.parametrize(
    ("backbone", "stage"),
    [
        *(
            (backbone, stage)
            for backbone in ("resnet18", "convnext_atto")
            for stage in (1, 2, 3, 4)
        ),
        *(("tf_efficientnet_lite0", stage) for stage in (1, 2, 3)),
        ("tf_efficientnet_lite0", 4),
    ],
)
def test_every_parameter_is_used(backbone: str, stage: int) -> None:
    """Later stages are not built: they would be counted, run for nothing, and stop
    DDP."""
    built = extractor(backbone=backbone, stage=stage, fine_tune_from="conv1")
    built(pairs(size=64)).sum().backward()
    assert [
        name for name, parameter in built.named_parameters() if parameter.grad is None
    ] == []


def test_a_training_step_moves_what_is_trained_and_leaves_what_is_frozen() -> None:
    built = extractor(stage=2, fine_tune_from="conv3_x")
    randomised(
        built, seed=1, spread=0.05
    ).train()  # timm starts the last norm of a block at 0: no gradient
    before = {name: p.detach().clone() for name, p in built.named_parameters()}
    optimiser = torch.optim.SGD(built.parameters(), lr=0.1)
    built(pairs()).square().mean().backward()
    optimiser.step()
    for name, parameter in built.named_parameters():
        frozen = belongs(name, ["backbone.conv1", "backbone.bn1", "backbone.layer1"])
        assert (parameter.grad is None) == frozen, name
        assert torch.equal(parameter, before[name]) == frozen, name


def running_means(built: Extractor) -> dict[str, Tensor]:
    return {
        n: b.clone()
        for n, b in built.backbone.named_buffers()
        if n.endswith(("running_mean", "running_var"))
    }


@pytest.mark.parametrize("statistics", ["moving", "fixed"])
@pytest.mark.parametrize("backbone", ["resnet18", "tf_efficientnet_lite0"])
def test_statistics_of_the_frozen_part_in_training(
    backbone: str, statistics: Any
) -> None:
    built = extractor(
        backbone=backbone,
        stage=2,
        fine_tune_from="conv3_x",
        frozen_statistics=statistics,
    )
    built.eval().train()
    before = running_means(built)
    built(pairs())
    frozen = [module for stage in LAYOUTS[backbone][:2] for module in stage]
    assert any(belongs(name, frozen) for name in before)
    for name, value in running_means(built).items():
        stays = statistics == "fixed" and belongs(name, frozen)
        assert torch.equal(value, before[name]) == stays, name


def test_fixed_statistics_are_fixed_from_the_start() -> None:
    """A module is born in training mode: no call of `train` is needed for the frozen
    part to be still."""
    built = extractor(stage=2, fine_tune_from="conv3_x", frozen_statistics="fixed")
    before = running_means(built)
    built(pairs())
    after = running_means(built)
    assert torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])
    assert not torch.equal(
        before["layer2.0.bn1.running_mean"], after["layer2.0.bn1.running_mean"]
    )


@pytest.mark.parametrize("statistics", ["moving", "fixed"])
def test_no_statistics_move_in_evaluation(statistics: Any) -> None:
    built = (
        extractor(fine_tune_from="conv2_x", frozen_statistics=statistics).train().eval()
    )
    assert not any(module.training for module in built.modules())
    before = running_means(built)
    built(pairs())
    assert all(
        torch.equal(value, before[name]) for name, value in running_means(built).items()
    )


def test_fixed_statistics_survive_a_parents_train_call() -> None:
    built = extractor(fine_tune_from="conv2_x", frozen_statistics="fixed")
    parent = nn.Sequential(built)
    parent.eval()
    parent.train()
    bn1, layer1 = (
        built.backbone.get_submodule("bn1"),
        built.backbone.get_submodule("layer1"),
    )
    assert not bn1.training
    assert layer1.training
    assert built.P.training


def test_the_default_is_the_papers_code() -> None:
    with torch.device("meta"):
        built = build(ModelSettings(), 9).extractor
    assert isinstance(built, FeatureExtractor)
    assert (built.channels, built.stage, built.structure) == (2048, 4, "single-cat")
    assert built.frozen_statistics == "moving"
    trained = {name for name, p in built.backbone.named_parameters() if p.requires_grad}
    frozen = {
        name for name, p in built.backbone.named_parameters() if not p.requires_grad
    }
    assert frozen == {"conv1.weight", "bn1.weight", "bn1.bias"}
    assert any(name.startswith("layer1.") for name in trained)


def test_single_cat_tells_before_from_after() -> None:
    built = extractor().eval()
    images = pairs()
    with torch.inference_mode():
        features, swapped = built(images), built(images.flip(1))
    assert features.shape == (2, 1, 8, 8, 8)
    assert not torch.allclose(features, swapped, atol=1e-3)


@pytest.mark.parametrize(("channels", "date"), [(slice(0, 3), 0), (slice(3, 6), 1)])
def test_the_first_three_channels_see_before_only(channels: slice, date: int) -> None:
    """With the other half of the first convolution at zero, only this date matters."""
    built = extractor().eval()
    first = built.backbone.get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    kept = torch.zeros_like(first.weight)
    kept[:, channels] = 1
    first.weight.data *= kept
    images, others = pairs(seed=1), pairs(seed=2)
    same_date, other_date = others.clone(), others.clone()
    same_date[:, date] = images[:, date]
    other_date[:, 1 - date] = images[:, 1 - date]
    with torch.inference_mode():
        torch.testing.assert_close(built(images), built(same_date))
        assert not torch.allclose(built(images), built(other_date), atol=1e-3)


def test_single_sub_sees_the_difference_after_minus_before() -> None:
    built = extractor(structure="single-sub").eval()
    images = pairs()
    with torch.inference_mode():
        features = built(images)
        by_hand = built.P(built.backbone(images[:, 1] - images[:, 0])[-1])
        # The same change of both dates.
        shifted = built(images + torch.randn(2, 1, 3, 32, 32))
    torch.testing.assert_close(features, by_hand[:, None])
    torch.testing.assert_close(features, shifted, rtol=0, atol=1e-4)


def test_dual_sends_each_date_through_the_same_network() -> None:
    built = extractor(structure="dual").eval()
    images = pairs()
    with torch.inference_mode():
        features = built(images)
        by_hand = [built.P(built.backbone(images[:, date])[-1]) for date in range(2)]
    assert features.shape == (2, 2, 8, 8, 8)
    torch.testing.assert_close(features, torch.stack(by_hand, 1))


@pytest.mark.parametrize("structure", ["single-cat", "single-sub", "dual"])
def test_stage_3_doubles_the_grid(structure: Any) -> None:
    streams = 2 if structure == "dual" else 1
    for stage, stride in ((4, 32), (3, 16)):
        built = extractor(structure=structure, stage=stage).eval()
        assert built.stride == stride
        with torch.inference_mode():
            assert built(pairs(1, 64)).shape == (
                1,
                streams,
                8,
                64 // stride,
                64 // stride,
            )


@pytest.mark.parametrize("backbone", ["resnet5", "", "resnet18.nope", "mixer"])
def test_an_unknown_backbone_is_refused(backbone: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"extractor\.backbone={backbone!r} is not a timm model"
    ):
        extractor(backbone=backbone, stage=4)


class _NoNetworkError(BaseException):
    """Not an Exception: nobody may catch it and go on."""


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any socket, of any library, fails the test."""

    def refuse(*_: Any, **__: Any) -> None:
        raise _NoNetworkError("a socket was asked for")

    monkeypatch.setattr("socket.socket", refuse)
    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


NO_NAMES = [
    "hf_hub:x/y",
    "hf-hub:timm/resnet18.a1_in1k",
    "local-dir:.",
    "../../x",
    "timm/resnet18",
    "resnet18/..",
]


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("backbone", NO_NAMES)
def test_a_backbone_reaches_neither_the_network_nor_the_disk(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = {"architecture": "resnet18", "num_classes": 10}
    # What local-dir: would read.
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(
        SettingsError,
        match=r"^extractor\.backbone=.* is not a timm model: its name holds",
    ):
        extractor(backbone=backbone, stage=4)
    with pytest.raises(
        CheckpointError, match=r"^extractor\.init=timm:.*its name holds letters, digits"
    ):
        read(f"timm:{backbone}")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("backbone", ["resnet18", "resnet18.tv_in1k"])
def test_random_weights_need_no_network(backbone: str) -> None:
    assert extractor(backbone=backbone, stage=1).stride == 4


def test_an_unknown_backbone_is_met_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"\bresnet50\b"):
        extractor(backbone="resnet5", stage=4)


@pytest.mark.parametrize(
    ("backbone", "stage", "stride"),
    [
        ("convnext_atto", 0, 2),
        ("mixer_s16_224", 4, 32),
        ("vit_tiny_patch16_224", 4, 32),
    ],
)
def test_a_backbone_without_that_stage_names_both_settings(
    backbone: str, stage: int, stride: int
) -> None:
    said = rf"extractor\.backbone={backbone} has no features of stride {stride} for extractor\.stage={stage}"  # noqa: E501
    with pytest.raises(SettingsError, match=said):
        extractor(backbone=backbone, stage=stage)


@pytest.mark.parametrize(
    ("backbone", "stage"),
    [("tresnet_m", 1), ("lamhalobotnet50ts_256", 4), ("efficientformer_l1", 4)],
)
def test_a_backbone_that_timm_or_we_cannot_cut_is_refused(
    backbone: str, stage: int
) -> None:
    """One without a layer at that stride, one with weights of five axes, one whose
    stages are not told apart."""
    with pytest.raises(
        SettingsError,
        match=rf"extractor\.backbone='?{backbone}'? (is not a timm model with|does not)",
    ):
        extractor(backbone=backbone, stage=stage)


@pytest.mark.parametrize(
    "backbone", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"]
)
def test_a_backbone_that_is_no_pyramid_of_maps_works_or_is_refused(
    backbone: str,
) -> None:
    """ViTs have one stride only and Swins put channels last: clear words, not an
    IndexError."""
    try:
        built = extractor(backbone=backbone, stage=3).eval()
    except SencapError:
        return
    with torch.inference_mode():
        assert built(pairs(1, 224)).shape == (1, 1, 8, 14, 14)


@pytest.mark.parametrize(
    "shape", [(2, 3, 2, 32, 32), (2, 1, 3, 32, 32), (1, 2, 4, 32, 32)]
)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ShapeError, match=r"images are \(B, 2, 3, H, W\), before first; got"
    ):
        extractor()(torch.zeros(shape))


def test_memory_layout_does_not_change_the_numbers() -> None:
    """channels_last is for speed; the features are those of the same weights in the
    plain layout."""
    built = extractor().eval()
    images = pairs()
    with torch.inference_mode():
        fast = built(images)
        built.to(memory_format=torch.contiguous_format)
        plain = built.P(built.backbone(images.reshape(2, 6, 32, 32).contiguous())[-1])
    torch.testing.assert_close(fast[:, 0], plain, rtol=0, atol=1e-5)


# ---------------------------------------------------------------- of the compared
# systems


@pytest.mark.parametrize(
    ("backbone", "stage"), [("resnet18", 3), ("test_efficientnet", 3), ("test_vit", 3)]
)
@pytest.mark.parametrize(("size", "grid"), [(64, 4), (64, 3), (48, 5)])
def test_pooled_features_have_the_grid_whatever_the_size(
    backbone: str, stage: int, size: int, grid: int
) -> None:
    torch.manual_seed(0)
    built = PooledExtractor(backbone=backbone, stage=stage, grid=grid).eval()
    images = pairs(2, size)
    with torch.inference_mode():
        features, swapped = built(images), built(images.flip(1))
    assert features.shape == (2, 2, built.channels, grid, grid)
    torch.testing.assert_close(features.flip(1), swapped, rtol=0, atol=1e-5)
    assert not torch.allclose(features[:, 0], features[:, 1], atol=1e-3)


def test_pooling_is_the_mean_of_the_cells() -> None:
    torch.manual_seed(0)
    built = PooledExtractor(backbone="resnet18", stage=1, grid=4).eval()
    images = pairs(1, 32)
    with torch.inference_mode():
        maps = built.backbone(images[:, 1])[-1]  # 8×8
        by_hand = maps.view(1, -1, 4, 2, 4, 2).mean((3, 5))
        torch.testing.assert_close(built(images)[:, 1], by_hand)


@pytest.mark.parametrize("backbone", ["resnet18", "test_vit"])
def test_the_compared_systems_backbone_is_frozen_with_its_statistics(
    backbone: str,
) -> None:
    built = PooledExtractor(backbone=backbone, stage=3, grid=2)
    nn.Sequential(built).train()
    assert not any(p.requires_grad for p in built.parameters())
    assert not any(
        module.training
        for module in built.backbone.modules()
        if list(module.parameters(recurse=False))
    )
    before = running_means(built)
    assert not built(pairs(size=64)).requires_grad
    assert all(
        torch.equal(value, before[name]) for name, value in running_means(built).items()
    )


def test_a_vision_transformer_sees_the_whole_image_and_is_trained_wholly_or_not() -> (
    None
):
    built = PooledExtractor(
        backbone="test_vit", stage=3, grid=2, fine_tune_from="conv1"
    )
    images = pairs(1, 64).requires_grad_()
    built(images).square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().amax((0, 1, 2)).gt(0).float().mean() > 0.9
    assert [name for name, p in built.named_parameters() if p.grad is None] == []
    with pytest.raises(
        SettingsError,
        match=r"test_vit has no stages, so extractor\.fine_tune_from=conv3_x",
    ):
        PooledExtractor(backbone="test_vit", stage=3, grid=2, fine_tune_from="conv3_x")


def test_a_vision_transformer_needs_its_stride() -> None:
    with pytest.raises(
        SettingsError,
        match=r"test_vit has no features of stride 32 for extractor\.stage=4",
    ):
        PooledExtractor(backbone="test_vit", stage=4, grid=2)


@pytest.mark.parametrize(
    ("name", "stage", "grid"), [("resnet18", 3, 2), ("test_vit", 3, 10)]
)
def test_weights_of_timm_enter_the_compared_systems(
    name: str, stage: int, grid: int, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    whole = timm.create_model(name).eval()
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    built = PooledExtractor(backbone=name, stage=stage, grid=grid).eval()
    said = initialise_backbone(built, tmp_path / "weights.safetensors")
    assert "3 input channels" in said
    state = whole.state_dict()
    for key, value in built.backbone.state_dict().items():
        torch.testing.assert_close(value, state[key])


def test_a_vision_transformers_weights_belong_to_one_grid(tmp_path: Path) -> None:
    save_file(
        timm.create_model("test_vit").state_dict(), tmp_path / "weights.safetensors"
    )
    with pytest.raises(CheckpointError, match="pos_embed"):
        initialise_backbone(
            PooledExtractor(backbone="test_vit", stage=3, grid=3),
            tmp_path / "weights.safetensors",
        )
