"""Settings: wrong ones fail at birth and name what is involved; right ones survive the
way through JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    FineTuneFrom,
    FrozenStatistics,
    HardwareSettings,
    LoadingSettings,
    ModelSettings,
    OptimisationSettings,
    Structure,
    TrainingSettings,
    VocabularySettings,
    as_dict,
    model_from_dict,
)
from sencap.errors import SencapError, SettingsError, nearest

Make = Callable[..., Any]

CONFLICTS: list[tuple[Make, dict[str, Any], tuple[str, ...]]] = [
    (
        ExtractorSettings,
        {"stage": 3, "fine_tune_from": "conv5_x"},
        ("extractor.fine_tune_from=conv5_x", "extractor.stage=3"),
    ),
    (
        ExtractorSettings,
        {"stage": 1, "fine_tune_from": "conv3_x"},
        ("extractor.fine_tune_from=conv3_x", "extractor.stage=1"),
    ),
    (
        DifferenceSettings,
        {"kernel_size": 3, "shared_convolution": False},
        ("difference.kernel_size=3", "difference.shared_convolution=false"),
    ),
    (
        ModelSettings,
        {"dimension": 100, "difference": DifferenceSettings(heads=8)},
        ("dimension=100", "difference.heads=8"),
    ),
    (
        ModelSettings,
        {"dimension": 512, "decoder": DecoderSettings(heads=7)},
        ("dimension=512", "decoder.heads=7"),
    ),
    (
        TrainingSettings,
        {
            "data": ["d"],
            "out": "o",
            "start": "s",
            "extractor": ExtractorSettings(init="w"),
        },
        ("start=s", "extractor.init=w"),
    ),
    (
        TrainingSettings,
        {
            "data": ["d"],
            "out": "o",
            "dimension": 100,
            "difference": DifferenceSettings(heads=8),
        },
        ("dimension=100", "difference.heads=8"),
    ),
]

WRONG: list[tuple[Make, dict[str, Any], str]] = [
    (ExtractorSettings, {"stage": 5}, "extractor.stage is 5; it must be 1, 2, 3 or 4"),
    (ExtractorSettings, {"stage": 0}, "extractor.stage is 0"),
    (
        ExtractorSettings,
        {"structure": "singlecat"},
        "extractor.structure is 'singlecat', which is unknown; did you mean "
        "'single-cat'?",
    ),
    (
        ExtractorSettings,
        {"fine_tune_from": "conv2"},
        "extractor.fine_tune_from is 'conv2', which is unknown; did you mean "
        "'conv2_x'?",
    ),
    (ExtractorSettings, {"frozen_statistics": "fix"}, "did you mean 'fixed'?"),
    (
        DifferenceSettings,
        {"layers": 0},
        "difference.layers is 0; it must be a whole number from 1 to",
    ),
    (DifferenceSettings, {"heads": -1}, "difference.heads is -1"),
    (DifferenceSettings, {"reduction": 0}, "difference.reduction is 0"),
    (DifferenceSettings, {"kernel_size": 0}, "difference.kernel_size is 0"),
    (
        DifferenceSettings,
        {"dropout": 1.0},
        "difference.dropout is 1.0; it must be in [0, 1)",
    ),
    (
        DifferenceSettings,
        {"position_dropout": -0.1},
        "difference.position_dropout is -0.1",
    ),
    (DifferenceSettings, {"dropout": float("nan")}, "difference.dropout is nan"),
    (
        ExtractorSettings,
        {"grid": 0},
        "extractor.grid is 0; it must be a whole number from 1 to",
    ),
    (DecoderSettings, {"layers": 0}, "decoder.layers is 0"),
    (DecoderSettings, {"expansion": 0}, "decoder.expansion is 0"),
    (DecoderSettings, {"max_words": 0}, "decoder.max_words is 0"),
    (DecoderSettings, {"position_dropout": 1.5}, "decoder.position_dropout is 1.5"),
    (
        ModelSettings,
        {"dimension": 0},
        "dimension is 0; it must be a whole number from 2 to",
    ),
    (
        ModelSettings,
        {"std": (0.2, 0.0, 0.2)},
        "std is (0.2, 0.0, 0.2); each value must be above 0",
    ),
    (
        ModelSettings,
        {
            "dimension": 21,
            "difference": DifferenceSettings(heads=3),
            "decoder": DecoderSettings(heads=7),
        },
        "dimension=21 is odd",
    ),
    (VocabularySettings, {"minimum_count": 0}, "vocabulary.minimum_count is 0"),
    (VocabularySettings, {"splits": ()}, "vocabulary.splits is empty"),
    (VocabularySettings, {"splits": ("train", "tset")}, "did you mean 'test'?"),
    (LoadingSettings, {"batch_size": 0}, "loading.batch_size is 0"),
    (ModelSettings, {"size": 31}, "size is 31; it must be a whole number from 32 to"),
    (LoadingSettings, {"workers": -1}, "loading.workers is -1"),
    (LoadingSettings, {"colour": 1.1}, "loading.colour is 1.1"),
    (OptimisationSettings, {"epochs": 0}, "optimisation.epochs is 0"),
    (OptimisationSettings, {"patience": 0}, "optimisation.patience is 0"),
    (
        OptimisationSettings,
        {"learning_rate": 0.0},
        "optimisation.learning_rate is 0.0; it must be above 0",
    ),
    (
        OptimisationSettings,
        {"extractor_learning_rate": 0.0},
        "extractor.fine_tune_from=none",
    ),
    (OptimisationSettings, {"decay": 0.0}, "optimisation.decay is 0.0"),
    (OptimisationSettings, {"decay": 1.1}, "optimisation.decay is 1.1"),
    (
        OptimisationSettings,
        {"label_smoothing": 1.0},
        "optimisation.label_smoothing is 1.0",
    ),
    (HardwareSettings, {"precision": "bf16-mix"}, "did you mean 'bf16-mixed'?"),
    (HardwareSettings, {"devices": 0}, "hardware.devices is 0"),
    (HardwareSettings, {"nodes": 0}, "hardware.nodes is 0"),
    (TrainingSettings, {"data": [], "out": "o"}, "data is empty"),
]

NOT_YET_REFUSED: list[tuple[Make, dict[str, Any], str]] = [
    (ModelSettings, {"mean": (0.5, 0.5)}, "mean"),
    (ModelSettings, {"std": (0.5,)}, "std"),
    (DecoderSettings, {"layers": 1.5}, "decoder.layers"),
    (
        OptimisationSettings,
        {"learning_rate": float("nan")},
        "optimisation.learning_rate",
    ),
    (OptimisationSettings, {"schedule": "cosin"}, "did you mean 'cosine'?"),
    (OptimisationSettings, {"weight_decay": -0.1}, "optimisation.weight_decay"),
    (OptimisationSettings, {"clip_value": 0.0}, "optimisation.clip_value"),
]


@pytest.mark.parametrize(("make", "values", "named"), CONFLICTS)
def test_a_conflict_names_both_settings(
    make: Make, values: dict[str, Any], named: tuple[str, ...]
) -> None:
    all_of_them = "".join(f"(?=.*{re.escape(name)})" for name in named)
    with pytest.raises(SettingsError, match=f"(?s)^{all_of_them}"):
        make(**values)


@pytest.mark.parametrize(("make", "values", "said"), WRONG)
def test_a_wrong_value_is_refused_at_birth(
    make: Make, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        make(**values)


@pytest.mark.parametrize(("make", "values", "said"), NOT_YET_REFUSED)
def test_more_wrong_values_are_refused_at_birth(
    make: Make, values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        make(**values)


def test_a_settings_error_is_a_value_error_and_one_of_ours() -> None:
    with pytest.raises(ValueError, match="stage is 9"):
        ExtractorSettings(stage=9)
    with pytest.raises(SencapError, match="stage is 9"):
        ExtractorSettings(stage=9)


def test_the_defaults_are_the_papers() -> None:
    """SPEC §2 and §4."""
    settings = TrainingSettings(data=["d"], out="o")
    model, optimisation = settings.model, settings.optimisation
    assert model == ModelSettings()
    assert model.system == "sen"
    assert (model.extractor, model.decoder) == (ExtractorSettings(), DecoderSettings())
    assert model.size == 256
    assert model.mean == (0.485, 0.456, 0.406)
    assert model.std == (0.229, 0.224, 0.225)
    assert model.decoder.max_words == 50
    # the system's own, tested in tests/models/test_systems.py
    for part in (model, model.extractor, model.difference, model.decoder):
        for name in (
            "dimension",
            "backbone",
            "stage",
            "structure",
            "grid",
            "layers",
            "heads",
            "dropout",
        ):
            assert getattr(part, name, None) is None
    assert (settings.vocabulary.splits, settings.vocabulary.minimum_count) == (
        ("train", "val", "test"),
        6,
    )
    assert (
        optimisation.learning_rate,
        optimisation.epochs,
        optimisation.clip_value,
    ) == (
        2e-4,
        40,
        5.0,
    )
    assert (optimisation.patience, optimisation.decay, optimisation.weight_decay) == (
        3,
        0.7,
        0.0,
    )
    assert (
        settings.loading.batch_size,
        settings.loading.colour,
        settings.loading.geometry,
    ) == (
        128,
        0.0,
        False,
    )
    assert settings.seed == 42


@pytest.mark.parametrize("start", get_args(FineTuneFrom))
@pytest.mark.parametrize("stage", [1, 2, 3, 4])
def test_a_start_layer_is_allowed_if_its_stage_is_used(
    start: FineTuneFrom, stage: int
) -> None:
    last = {
        "conv1": 0,
        "conv2_x": 1,
        "conv3_x": 2,
        "conv4_x": 3,
        "conv5_x": 4,
        "none": 0,
    }[start]
    if last <= stage:
        assert (
            ExtractorSettings(stage=stage, fine_tune_from=start).fine_tune_from == start
        )
    else:
        with pytest.raises(
            SettingsError, match=f"say conv{stage + 1}_x or earlier, or none"
        ):
            ExtractorSettings(stage=stage, fine_tune_from=start)


def test_settings_never_change() -> None:
    settings = ModelSettings()
    with pytest.raises(dataclasses.FrozenInstanceError, match="dimension"):
        settings.dimension = 256  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"dimesion": 512},
            "a.json: dimesion is not a setting; did you mean 'dimension'?",
        ),
        (
            {"extractor": {"backbon": "x"}},
            "a.json: extractor.backbon is not a setting; did you mean 'backbone'?",
        ),
        (
            {"difference": {"head": 8}},
            "a.json: difference.head is not a setting; did you mean 'heads'?",
        ),
        (
            {"decoder": {"max_word": 8}},
            "a.json: decoder.max_word is not a setting; did you mean 'max_words'?",
        ),
        ({"decoder": {"zzz": 8}}, "known are 'dropout', 'expansion', 'heads'"),
        ({"decoder": {"layers": 0}}, "a.json: decoder.layers is 0"),
        ({"decoder": None}, "a.json: "),
        ({"mean": 3}, "a.json: "),
        ({"dimension": "wide"}, "a.json: "),
    ],
)
def test_a_wrong_dict_names_its_source_and_the_nearest_key(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        model_from_dict(values, source="a.json")


@pytest.mark.parametrize(
    "values", [{"decoder": "transformer"}, {"extractor": ["resnet50"]}]
)
def test_a_part_that_is_no_mapping_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"a\.json"):
        model_from_dict(values, source="a.json")


OF_ANOTHER_KIND = [
    ({"system": 5}, "system is 5; it must be a text"),
    ({"system": None}, "system is None; it must be a text"),
    ({"size": 1e3}, "size is 1000.0; it must be a whole number"),
    ({"size": 10**5000}, "size is a number of more than 30 digits"),
    ({"size": 4096}, "size is 4096; a model sees at most 1024 × 1024 pixels"),
    ({"extractor": {"grid": 256}}, "extractor.grid is 256; it must be at most 64"),
    (
        {"extractor": {"stage": True}},
        "extractor.stage is True; it must be a whole number",
    ),
    (
        {"extractor": {"stage": [4] * 10**5}},
        "extractor.stage is a list of 100,000 entries",
    ),
    ({"extractor": {"structure": []}}, "extractor.structure is []; it must be a text"),
    ({"extractor": {"init": {}}}, "extractor.init is {}; it must be a text"),
    (
        {"difference": {"dropout": "half"}},
        "difference.dropout is 'half'; it must be a number",
    ),
    (
        {"difference": {"dropout": float("nan")}},
        "difference.dropout is nan; it must be in [0, 1)",
    ),
    (
        {"difference": {"self_attention": "no"}},
        "difference.self_attention is 'no'; it must be true or false",
    ),
    (
        {"decoder": {"heads": {"a": 1}}},
        "decoder.heads is {'a': 1}; it must be a whole number",
    ),
    ({"decoder": 5}, "decoder is 5; it must be an object of settings by name"),
    ({"mean": "0.5"}, "mean is '0.5'; it must hold three values"),
    (
        {"mean": [0.5, 0.5, "0.5"]},
        "mean is (0.5, 0.5, '0.5'); each value must be a number",
    ),
    ({"mean": [0.5, 0.5, True]}, "each value must be a number"),
    ({"mean": [0.5, 0.5, None]}, "each value must be a number"),
    ({"mean": [0.5] * 10**5}, "it must hold three values"),
    (
        {"mean": [float("nan")] * 3},
        "mean is (nan, nan, nan); each value must be a number",
    ),
    (
        {"mean": [123.7, 116.3, 103.5]},
        "each value must be from 0 to 1 (pixels are divided by 255 before)",
    ),
    (
        {"std": [float("inf")] * 3},
        "std is (inf, inf, inf); each value must be a number",
    ),
    ({"std": [1e-300] * 3}, "each value must be from 0.001 to 10"),
    ({"std": [58.4, 57.1, 57.4]}, "each value must be from 0.001 to 10"),
]


@pytest.mark.parametrize(("values", "said"), OF_ANOTHER_KIND)
def test_a_value_of_another_kind_is_refused_in_words_of_ours(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)) as refused:
        model_from_dict(values, source="a.json")
    assert len(str(refused.value)) < 300
    assert "NoneType" not in str(refused.value)


NO_PLAIN_NAMES = [
    "",
    "hf_hub:a/b",
    "hf-hub:timm/resnet18.a1_in1k",
    "hf-hub:resnet18",
    "local-dir:.",
    "LOCAL-DIR:x",
    "file:resnet18",
    "timm:resnet18",
    "timm/resnet18",
    "../../x",
    "..",
    "a..b",
    ".resnet18",
    "resnet18\\x",
    "resnet18\n",
    "resnet18#x",
    "résnet18",
    "resnet18 ",
    "\ud800",
    "r" * 101,
    5,
    ["resnet18"],
]


@pytest.mark.parametrize("name", NO_PLAIN_NAMES)
def test_a_backbone_is_a_plain_name(name: Any) -> None:
    with pytest.raises(
        SettingsError,
        match=r"^extractor\.backbone=.* is not a timm model: its name holds",
    ):
        ExtractorSettings(backbone=name)


@pytest.mark.parametrize(
    "name", ["resnet50", "resnet50.tv_in1k", "tf_efficientnet_lite0", "a-b_c.d-e"]
)
def test_the_backbone_names_that_timm_has_are_plain(name: str) -> None:
    """A tag behind the point says which weights are meant; without a download it
    changes nothing."""
    assert ExtractorSettings(backbone=name).backbone == name


def test_no_keys_at_all_are_the_defaults() -> None:
    assert model_from_dict({}) == ModelSettings()
    assert model_from_dict({"extractor": {"stage": 3}}).extractor == ExtractorSettings(
        stage=3
    )


def test_reading_a_dict_does_not_change_it() -> None:
    values = as_dict(ModelSettings())
    copy = json.loads(json.dumps(values))
    model_from_dict(values)
    assert values == copy


fractions = st.floats(0, 1, exclude_max=True)
heads = st.sampled_from([1, 2, 4, 8])
channel = st.floats(0.01, 1)
colours = st.tuples(channel, channel, channel)


@st.composite
def extractors(draw: st.DrawFn) -> ExtractorSettings:
    stage = draw(st.integers(1, 4))
    allowed = [
        s for s in get_args(FineTuneFrom) if s == "none" or int(s[4]) - 1 <= stage
    ]
    return ExtractorSettings(
        backbone=draw(st.none() | st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True)),
        stage=draw(st.sampled_from([stage, None])),
        structure=draw(st.none() | st.sampled_from(get_args(Structure))),
        grid=draw(st.none() | st.integers(1, 20)),
        init=draw(st.none() | st.text(max_size=20)),
        fine_tune_from=draw(st.sampled_from(allowed)),
        frozen_statistics=draw(st.sampled_from(get_args(FrozenStatistics))),
    )


@st.composite
def differences(draw: st.DrawFn) -> DifferenceSettings:
    shared = draw(st.booleans())
    return DifferenceSettings(
        layers=draw(st.none() | st.integers(1, 9)),
        heads=draw(st.none() | heads),
        dropout=draw(st.none() | fractions),
        position_dropout=draw(fractions),
        reduction=draw(st.integers(1, 16)),
        kernel_size=draw(st.integers(1, 64)) if shared else 1,
        shared_convolution=shared,
        channel_attention=draw(st.booleans()),
        cross_attention=draw(st.booleans()),
        self_attention=draw(st.booleans()),
    )


models = st.builds(
    ModelSettings,
    system=st.sampled_from(["sen", "sen-dual", "anything"]),
    dimension=st.none() | st.integers(2, 128).map(lambda n: 8 * n),
    size=st.integers(32, 256),
    mean=colours,
    std=colours,
    extractor=extractors(),
    difference=differences(),
    decoder=st.builds(
        DecoderSettings,
        layers=st.integers(1, 9),
        heads=heads,
        expansion=st.integers(1, 8),
        dropout=fractions,
        position_dropout=fractions,
        max_words=st.integers(1, 100),
    ),
)


@given(models)
def test_a_model_survives_the_way_through_json(settings: ModelSettings) -> None:
    again = model_from_dict(json.loads(json.dumps(as_dict(settings))))
    assert again == settings
    assert hash(again) == hash(settings), "tuples come back as tuples"


@given(models, st.integers(0, 10**6))
def test_the_model_of_a_training_run_is_the_model_given(
    settings: ModelSettings, seed: int
) -> None:
    parts = {
        f.name: getattr(settings, f.name) for f in dataclasses.fields(ModelSettings)
    }
    parts["extractor"] = dataclasses.replace(settings.extractor, init=None)
    run = TrainingSettings(data=["d"], out="o", seed=seed, start="s", **parts)
    assert run.model == ModelSettings(**parts)
    assert (
        json.loads(json.dumps(as_dict(run)))["difference"]
        == as_dict(settings)["difference"]
    )


@given(
    st.sampled_from([f.name for f in dataclasses.fields(DifferenceSettings)]), st.data()
)
def test_a_key_with_one_letter_missing_is_met_with_the_right_one(
    name: str, data: st.DataObject
) -> None:
    gap = data.draw(st.integers(0, len(name) - 1))
    misspelt = name[:gap] + name[gap + 1 :]
    with pytest.raises(
        SettingsError,
        match=rf"difference\.{misspelt} is not a setting; did you mean '{name}'\?",
    ):
        model_from_dict({"difference": {misspelt: 1}})


@given(
    st.text(max_size=12),
    st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=6, unique=True),
)
def test_nearest_always_helps(word: str, known: list[str]) -> None:
    clause = nearest(word, known)
    if clause.startswith("did you mean"):
        assert any(repr(name) in clause for name in known)
    else:
        assert all(repr(name) in clause for name in known)
    assert nearest(known[0], known) == f"did you mean {known[0]!r}?"
