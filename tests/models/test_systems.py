"""Every system by one contract: counts, shapes, training, search, checkpoints,
precision, maps; and its own numbers."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference import search as slow
from reference.on_arrays import beam_of_one, predictor_of, search
from reference.weights import randomised
from sencap.cli import main
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    LoadingSettings,
    ModelSettings,
    model_from_dict,
)
from sencap.data.levir_cc import read_dataset
from sencap.errors import SettingsError
from sencap.explain import explain
from sencap.models import variants
from sencap.models.attention import Attention
from sencap.models.captioner import count_parameters
from sencap.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from sencap.models.decoders import Decoder
from sencap.models.numbers import ANY_SYSTEMS, own
from sencap.models.variants import SYSTEMS, build, check, resolved
from sencap.structures import Hypothesis, Memory
from sencap.training.loading import PairDataset, collate
from sencap.training.losses import caption_loss
from tiny_systems import RECURRENT, SEN, V, lively, pixels, tiny

MARKERS: dict[str, Any] = {"start": 2, "end": 3, "forbidden": (0, 2)}
EVERY = pytest.mark.parametrize("system", SYSTEMS)

TOTALS = {
    "sen": 39_866_101,
    "sen-single-sub": 39_856_693,
    "sen-dual": 39_856_693,
    "capt-rep-diff": 31_183_185,
    "capt-att": 32_494_162,
    "capt-dual-att": 32_494_162,
    "duda": 36_702_037,
    "mccformer-s": 68_993_077,
    "mccformer-d": 68_992_053,
    "rsiccformer-c": 55_347_765,
    "rsiccformer": 65_589_813,
    "psnet": 203_831_797,
    "siamese": 7_365_557,
}


def without_dropout(settings: ModelSettings) -> ModelSettings:
    none: dict[str, Any] = {"dropout": 0.0}
    if settings.system == "duda":
        return dataclasses.replace(
            settings,
            difference=dataclasses.replace(
                settings.difference, dropout=0.0, map_penalty=0.0
            ),
            decoder=dataclasses.replace(
                settings.decoder, dropout=0.0, seen_dropout=0.0
            ),
        )
    if settings.system in RECURRENT:
        return dataclasses.replace(
            settings, decoder=dataclasses.replace(settings.decoder, **none)
        )
    difference = {**none, "position_dropout": 0.0} if settings.system in SEN else none
    return dataclasses.replace(
        settings,
        difference=dataclasses.replace(settings.difference, **difference),
        decoder=dataclasses.replace(settings.decoder, **none, position_dropout=0.0),
    )


# ---------------------------------------------------------------- numbers and names


@EVERY
def test_parameter_totals_to_the_unit(system: str) -> None:
    with torch.device("meta"):
        counts = count_parameters(build(ModelSettings(system=system), 501))
    assert counts["total"] == TOTALS[system]
    assert sum(counts.values()) == 2 * counts["total"]


def test_the_totals_of_spec_in_closed_form() -> None:
    """What the docs say they are made of."""
    resnet, d, w, g = 27_535_424, 512, 1024, 14
    layer = 4 * (d * d + d) + 2 * d * 2048 + 2048 + d + 4 * d
    tokens = 1024 * d + d + 2 * g * (d // 2)

    def decoder(layers: int) -> int:
        one = 8 * (w * w + w) + 2 * w * 4096 + 4096 + w + 6 * w
        return layers * one + 2 * 501 * w + 501

    assert resnet + tokens + 2 * d + 2 * layer + decoder(2) == TOTALS["mccformer-s"]
    assert resnet + tokens + 2 * layer + decoder(2) == TOTALS["mccformer-d"]
    assert resnet + tokens + 3 * layer + decoder(1) == TOTALS["rsiccformer-c"]
    block = 2 * w * 512 + 9 * 512 * 512 + 2 * (512 + 512 + w) + 2 * w
    assert TOTALS["rsiccformer"] - TOTALS["rsiccformer-c"] == 3 * block


def own_numbers(system: str) -> dict[str, Any]:
    """What is built when nothing is said: what no count can tell."""
    with torch.device("meta"):
        captioner = build(ModelSettings(system=system), 501)
    parts = {"difference": captioner.difference, "decoder": captioner.decoder}
    extractor: Any = captioner.extractor
    return {
        "heads": {
            n: {m.heads for m in p.modules() if isinstance(m, Attention)}
            for n, p in parts.items()
        },
        "dropout": {
            n: {m.p for m in p.modules() if isinstance(m, nn.Dropout)}
            for n, p in parts.items()
        },
        "trained": any(p.requires_grad for p in extractor.backbone.parameters()),
        "grid": getattr(extractor, "grid", None),
        "stride": extractor.stride,
        "structure": extractor.structure,
        "statistics": extractor.frozen_statistics,
    }


@EVERY
def test_what_a_system_is_when_nothing_is_said(system: str) -> None:
    """A checkpoint may leave a setting to its system, so these must never change."""
    found = own_numbers(system)
    if system in SEN:
        structures = {
            "sen": "single-cat",
            "sen-single-sub": "single-sub",
            "sen-dual": "dual",
        }
        assert found == {
            "heads": {"difference": {8}, "decoder": {8}},
            "dropout": {"difference": {0.5, 0.1}, "decoder": {0.5, 0.1}},
            "trained": True,
            "grid": None,
            "stride": 32,
            "structure": structures[system],
            "statistics": "moving",
        }
        return
    if system == "siamese":
        dropouts = {"difference": {0.3, 0.1}, "decoder": {0.3, 0.1}}
        heads_of_eight = {"difference": {8}, "decoder": {8}}
        ours = {"heads": heads_of_eight, "dropout": dropouts, "grid": 8, "stride": 32}
        assert found == {
            **ours,
            "trained": False,
            "structure": "dual",
            "statistics": "fixed",
        }
        return
    numbers = PUBLISHED[system]
    assert found == {
        "heads": {"difference": numbers["heads"], "decoder": numbers["heads"]},
        "dropout": {
            "difference": numbers["encoder"],
            "decoder": numbers["decoder"],
        },
        "trained": False,
        "grid": 7 if system == "psnet" else 14,
        "stride": 32 if system == "psnet" else 16,
        "structure": "dual",
        "statistics": numbers.get("statistics", "fixed"),
    }


# SPEC §11, and what is ours where it is silent: PSNet's dropout, fixed statistics of
# the systems of Park et al.
PUBLISHED: dict[str, dict[str, Any]] = {
    "capt-rep-diff": {"heads": set(), "encoder": set(), "decoder": {0.5, 0.0}},
    "capt-att": {"heads": set(), "encoder": {0.0}, "decoder": {0.5, 0.0}},
    "capt-dual-att": {"heads": set(), "encoder": {0.0}, "decoder": {0.5, 0.0}},
    "duda": {"heads": set(), "encoder": {0.5}, "decoder": {0.5}},
    "mccformer-s": {
        "heads": {4},
        "encoder": {0.1},
        "decoder": {0.5, 0.1},
        "statistics": "moving",
    },
    "mccformer-d": {
        "heads": {4},
        "encoder": {0.5},
        "decoder": {0.5, 0.1},
        "statistics": "moving",
    },
    "rsiccformer-c": {
        "heads": {8},
        "encoder": {0.5},
        "decoder": {0.5, 0.1},
        "statistics": "moving",
    },
    "rsiccformer": {
        "heads": {8},
        "encoder": {0.5},
        "decoder": {0.5, 0.1},
        "statistics": "moving",
    },
    "psnet": {"heads": {8}, "encoder": {0.1}, "decoder": {0.1}},
}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mccformer_d", "mccformer-d"),
        ("dudda", "duda"),
        ("rsicc-former", "rsiccformer"),
        ("psnet2", "psnet"),
    ],
)
def test_an_unknown_name_is_met_with_the_nearest(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", name]) == 2
    assert (
        f"system='{name}' is unknown; did you mean '{meant}'?"
        in capsys.readouterr().err
    )


def test_info_counts_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "duda", "--vocabulary-size", "501", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "extractor": 27_535_424,
        "difference": 263_169,
        "decoder": 8_903_444,
        "total": 36_702_037,
    }
    assert main(["info", "--list-systems"]) == 0
    assert capsys.readouterr().out.split() == list(SYSTEMS)


@pytest.mark.parametrize(
    ("system", "part", "values", "said"),
    [
        (
            "duda",
            "difference",
            DifferenceSettings(self_attention=False),
            "difference.self_attention=false",
        ),
        ("duda", "difference", DifferenceSettings(heads=8), "difference.heads=8"),
        ("capt-att", "decoder", DecoderSettings(layers=1), "decoder.layers=1"),
        (
            "mccformer-s",
            "difference",
            DifferenceSettings(kernel_size=3),
            "difference.kernel_size=3",
        ),
        (
            "psnet",
            "extractor",
            ExtractorSettings(structure="single-cat"),
            "extractor.structure=single-cat",
        ),
        ("sen", "extractor", ExtractorSettings(grid=7), "extractor.grid=7"),
        (
            "rsiccformer",
            "difference",
            DifferenceSettings(position_dropout=0.1),
            "difference.position_dropout=0.1",
        ),
    ],
)
def test_a_setting_without_use_is_refused_with_both_names(
    system: str, part: str, values: Any, said: str
) -> None:
    with pytest.raises(
        SettingsError, match=f"system={system} has no use for {said}; leave it out"
    ):
        check(ModelSettings(system=system, **{part: values}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            ModelSettings(dimension=100),
            r"dimension=100 cannot be split into difference\.heads=8",
        ),
        (
            ModelSettings(system="mccformer-d", dimension=66),
            r"dimension=66 .* difference\.heads=4",
        ),
        (
            ModelSettings(dimension=8),
            r"difference\.reduction=16 leaves nothing of dimension=8",
        ),
        (
            ModelSettings(size=512, extractor=ExtractorSettings(stage=1)),
            r"size=512 is too large for extractor\.stage=1",
        ),
        (
            ModelSettings(system="psnet", decoder=DecoderSettings(heads=7)),
            r"dimension=512 .* decoder\.heads=7",
        ),
        (
            ModelSettings(
                system="duda", extractor=ExtractorSettings(fine_tune_from="conv5_x")
            ),
            r"extractor\.fine_tune_from=conv5_x starts after extractor\.stage=3",
        ),
    ],
)
def test_a_setting_that_does_not_go_with_the_systems_own_numbers(
    settings: ModelSettings, said: str
) -> None:
    with pytest.raises(SettingsError, match=said):
        check(settings)


def test_the_real_command_refuses_before_it_reads_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--data", str(tmp_path), "--out", "nothing", "--system", "duda"]
    assert main([*command, "--difference.self_attention", "false"]) == 2
    assert (
        "system=duda has no use for difference.self_attention=false"
        in capsys.readouterr().err
    )
    assert main([*command[:-1], "rsiccformer-d"]) == 2
    assert (
        "system='rsiccformer-d' is unknown; did you mean 'rsiccformer"
        in capsys.readouterr().err
    )


@EVERY
def test_settings_that_are_one_model_resolve_to_one(system: str) -> None:
    bare = ModelSettings(system=system)
    whole = resolved(bare)
    assert whole.dimension == (256 if system == "siamese" else 512)
    assert None not in (
        whole.extractor.backbone,
        whole.extractor.stage,
        whole.decoder.dropout,
    )
    assert (whole.difference.heads is None) == (system in RECURRENT)
    assert resolved(whole) == whole
    said = dataclasses.replace(
        bare,
        dimension=whole.dimension,
        decoder=DecoderSettings(dropout=whole.decoder.dropout),
    )
    assert said != bare
    assert resolved(said) == whole


def test_a_variant_of_sen_may_carry_single_cat() -> None:
    """Its checkpoints did, when that was the default."""
    old = ModelSettings(
        system="sen-dual", extractor=ExtractorSettings(structure="single-cat")
    )
    assert resolved(old) == resolved(ModelSettings(system="sen-dual"))
    assert resolved(old).extractor.structure == "dual"


def test_a_config_that_says_the_defaults_of_other_systems_is_taken() -> None:
    """As the shipped weights' do: SEN's switches at their defaults harm nobody."""
    values = {"system": "duda", "difference": {"reduction": 16, "self_attention": True}}
    check(model_from_dict(values))


# ---------------------------------------------------------------- a number is written
# once, and
# used

OTHER_NAMES = {
    "backbone": ("test_efficientnet", "resnet18"),
    "structure": ("dual", "single-cat"),
    "pyramid": ("none", "finer"),
    "fine_tune_from": ("conv3_x", "none"),
    "frozen_statistics": ("moving", "fixed"),
    "projection": ("where-needed", "always"),
    "start": ("xavier", "layers"),
    "words_start": ("normal", "uniform"),
}


# of PSNet the layers of both parts are one number, which another test changes
TIED = {"psnet": ("layers",)}


def numbers_of(system: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the system's function hands to `own`: its width, and its parts as
    settings."""
    said: dict[str, Any] = {}

    def keep(settings: ModelSettings, **numbers: Any) -> Any:
        said.update(numbers)
        return own(settings, **numbers)

    with monkeypatch.context() as patched, torch.device("meta"):
        patched.setattr(variants, "own", keep)
        build(ModelSettings(system=system), V)
    return said


def another(name: str, number: Any) -> Any:
    """Another valid value of a number."""
    if isinstance(number, bool):
        return not number
    if isinstance(number, int):
        return {"norm_groups": 0, "stage": 3, "grid": 3}.get(name, 2 * number)
    if isinstance(number, float):
        return number + 0.05
    first, second = OTHER_NAMES[name]
    return second if number == first else first


def built(
    system: str, numbers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> list[Any]:
    """All that a captioner of the system is made of when ``numbers`` stand in its
    function."""
    with monkeypatch.context() as patched, torch.device("meta"):
        patched.setattr(variants, "own", lambda settings, **_: own(settings, **numbers))
        captioner = build(ModelSettings(system=system, size=64), V)
    made: list[Any] = [
        (n, tuple(p.shape), p.requires_grad) for n, p in captioner.named_parameters()
    ]
    for module in captioner.modules():
        plain = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, int | float | str)
        }
        made.append((type(module).__name__, plain))
    return made


@EVERY
def test_any_other_number_in_a_systems_function_makes_another_system(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = numbers_of(system, monkeypatch)
    small = {"backbone": "test_resnet", "stage": 4, "fine_tune_from": "conv2_x"}
    said["extractor"] = dataclasses.replace(said["extractor"], **small)
    usual = built(system, said, monkeypatch)
    assert (
        built(system, {**said, "dimension": 2 * said["dimension"]}, monkeypatch)
        != usual
    )
    for part in ("extractor", "difference", "decoder"):
        numbers = {
            name: getattr(said[part], name)
            for name in vars(said[part])
            if name not in ANY_SYSTEMS
        }
        for name, number in numbers.items():
            if number is None or name in TIED.get(system, ()):
                continue
            changed = dataclasses.replace(said[part], **{name: another(name, number)})
            made = built(system, {**said, part: changed}, monkeypatch)
            assert made != usual, f"{part}.{name}={number} of {system} does nothing"


# ---------------------------------------------------------------- passes


@EVERY
def test_shapes_and_company_in_a_batch(system: str) -> None:
    captioner = lively(system)
    images = pixels(3)
    tokens = torch.randint(V, (3, 2, 7), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        memory = captioner.encode(images)
        logits = captioner(images, tokens)
        alone = captioner(images[1:2], tokens[1:2, 1:])
        cut = captioner(images, tokens[..., :4])
    assert memory.grid == (2, 2)
    assert logits.shape == (3, 2, 7, V)
    assert logits.std() > 0.01
    torch.testing.assert_close(alone[0, 0], logits[1, 1], rtol=1e-3, atol=1e-3)
    # No word sees a later one.
    torch.testing.assert_close(cut, logits[..., :4, :], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)


@EVERY
def test_the_dates_are_told_apart(system: str) -> None:
    captioner = lively(system)
    tokens = torch.randint(V, (2, 1, 5), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        logits, swapped = (
            captioner(images, tokens) for images in (pixels(2), pixels(2).flip(1))
        )
    assert not torch.allclose(logits, swapped, atol=1e-2)


@EVERY
def test_every_parameter_is_used(system: str) -> None:
    torch.manual_seed(0)
    captioner = randomised(build(tiny(system), V), 5, spread=0.1).train()
    captioner(
        pixels(2), torch.tensor([[[2, 4, 5]], [[2, 6, 7]]])
    ).square().sum().backward()
    assert [name for name, p in captioner.named_parameters() if p.grad is None] == []


@EVERY
def test_bfloat16_is_finite_and_close(system: str) -> None:
    torch.manual_seed(0)
    captioner = build(tiny(system), V).eval()
    tokens = torch.tensor([[[2, 4, 5, 6]], [[2, 6, 7, 3]]])
    with torch.inference_mode():
        exact = captioner(pixels(2), tokens)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = captioner(pixels(2), tokens)
            found = search(
                captioner.search_decoder,
                captioner.encode(pixels(2)),
                **MARKERS,
                beam=3,
                max_words=5,
            )
    assert exact.dtype == torch.float32
    assert coarse.isfinite().all()
    assert (coarse.float() - exact).abs().max() < 0.05 * exact.abs().max()
    assert len(found) == 2


# ---------------------------------------------------------------- search


@EVERY
def test_stepping_is_teacher_forcing_through_selection_and_departures(
    system: str,
) -> None:
    captioner = lively(system)
    decoder: Decoder = captioner.search_decoder
    random = torch.Generator().manual_seed(6)
    with torch.inference_mode():
        memory = captioner.encode(pixels(3))
        state = decoder.start(memory)
        tokens, pairs = torch.full((3, 1, 1), 2), torch.arange(3)
        for length in range(1, 9):
            logits, state = decoder.step(state, tokens[..., -1])
            rest = Memory(memory.tokens[pairs], memory.grid)
            torch.testing.assert_close(
                logits, decoder(rest, tokens)[:, :, -1], rtol=0, atol=1e-3
            )
            if length % 3 == 0:
                parents = torch.randint(
                    tokens.shape[1], (len(pairs), 4), generator=random
                )
                state, tokens = (
                    state.select(parents),
                    tokens.gather(1, parents[..., None].expand(-1, -1, length)),
                )
            if length == 5:
                kept = torch.tensor([2, 0])
                pairs, tokens, state = pairs[kept], tokens[kept], state.keep(kept)
            tokens = torch.cat(
                (tokens, torch.randint(V, (*tokens.shape[:2], 1), generator=random)), 2
            )


def same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [(h.ids, h.finished) for h in found] == [
        (h.ids, h.finished) for h in expected
    ]
    assert [h.log_prob for h in found] == pytest.approx(
        [h.log_prob for h in expected], abs=1e-3
    )


@EVERY
def test_search_is_the_slow_search_in_any_order(system: str) -> None:
    captioner = lively(system, end_bias=1.5)
    decoder = captioner.search_decoder
    with torch.inference_mode():
        memory = captioner.encode(pixels(4, seed=7))
        of_one = beam_of_one(decoder, memory, **MARKERS, max_words=6)
    turned = [2, 0, 3, 1]
    for beam in (1, 3):
        found = search(decoder, memory, **MARKERS, beam=beam, max_words=6)
        again = search(
            decoder,
            Memory(memory.tokens[turned], memory.grid),
            **MARKERS,
            beam=beam,
            max_words=6,
        )
        for pair in range(4):
            next_word = slow.uncached(decoder, memory, pair, (0, 2))
            if beam == 1:
                same(found[pair], [slow.greedy(next_word, start=2, end=3, max_words=6)])
                same(found[pair], of_one[pair])
            else:
                expected = slow.beam_search(
                    next_word, start=2, end=3, beam=beam, max_words=6
                )
                same(found[pair], expected[:beam])
            same(again[turned.index(pair)], found[pair])


# ---------------------------------------------------------------- training


def eight_pairs() -> tuple[Tensor, Tensor]:
    """Pictures (8, 2, 3, 64, 64) of noise where a square of one of eight colours comes,
    and its sentence, (8, 1, 7)."""
    images = pixels(8, seed=8) // 4
    captions = []
    for i in range(8):
        red, green, blue = i % 2, i // 2 % 2, i // 4
        images[i, 1, :, 16:48, 16:48] = (
            torch.tensor([red, green, blue], dtype=torch.uint8)[:, None, None] * 255
        )
        captions.append([2, 4, 5 + red, 7 + green, 9 + blue, 4, 3])
    return images, torch.tensor(captions)[:, None]


@EVERY
def test_eight_pairs_are_learned_to_the_exact_captions(system: str) -> None:
    """Whatever the frozen backbone shows; it is run once."""
    images, tokens = eight_pairs()
    torch.manual_seed(1)
    captioner = build(without_dropout(tiny(system)), V).train()
    with torch.inference_mode():
        normalised = captioner.normalise(images)
        features = captioner.extractor(normalised)
    normalised, features = normalised.clone(), features.clone()
    learned = [*captioner.difference.parameters(), *captioner.decoder.parameters()]
    optimiser = torch.optim.Adam(learned, lr=3e-3)
    for _ in range(400):
        memory = captioner.difference(features, normalised)
        loss = caption_loss(captioner.decoder(memory, tokens[..., :-1]), tokens, pad=0)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if loss < 0.05:
            break
    captioner.eval()
    found = search(
        captioner.search_decoder, captioner.encode(images), **MARKERS, max_words=20
    )
    assert [best[0].ids for best in found] == [
        tuple(row[0, 1:-1].tolist()) for row in tokens
    ]


@dataclass(frozen=True)
class Trained:
    """One step of the real command: the settings it was given, and what it wrote."""

    settings: ModelSettings
    folder: Path


@pytest.fixture(scope="module", params=SYSTEMS)
def trained(
    request: pytest.FixtureRequest,
    tiny_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """`sencap train` for one epoch of one batch: all eight pairs."""
    settings = without_dropout(tiny(request.param))
    out = tmp_path_factory.mktemp(request.param)
    command = [
        "train",
        "--data",
        str(tiny_data),
        "--out",
        str(out),
        "--system",
        settings.system,
    ]
    command += ["--dimension", "32", "--size", "64", "--vocabulary.minimum-count", "1"]
    for part in ("extractor", "difference", "decoder"):
        given = getattr(settings, part)
        for field in dataclasses.fields(given):
            if getattr(given, field.name) != field.default:
                command += [f"--{part}.{field.name}", str(getattr(given, field.name))]
    command += [
        "--loading.batch-size",
        "40",
        "--loading.one-pass",
        "true",
        "--optimisation.epochs",
        "1",
    ]
    command += [
        "--optimisation.learning-rate",
        "5e-3",
        "--hardware.accelerator",
        "cpu",
        "--progress",
        "false",
    ]
    # The graphs of each system have tests of their own, in `engines/test_onnx.py`.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sencap.training.fit.export_checkpoint", lambda folder: [])
        assert main(command) == 0
    return Trained(settings, out / "last")


def test_one_step_of_the_real_command_lowers_the_loss_of_its_batch(
    trained: Trained, tiny_data: Path
) -> None:
    checkpoint = load_checkpoint(trained.folder)
    assert checkpoint.settings == trained.settings
    vocabulary = checkpoint.vocabulary
    pairs = read_dataset(tiny_data, splits=["train"])
    dataset = PairDataset(
        pairs,
        vocabulary,
        settings=LoadingSettings(one_pass=True),
        size=64,
        max_words=20,
    )
    batch = collate([dataset[i] for i in range(8)], pad=vocabulary.pad)
    torch.manual_seed(42)  # the run's seed: the weights it started from
    before = build(trained.settings, len(vocabulary)).eval()
    with torch.inference_mode():
        losses = [
            caption_loss(
                model(batch.images, batch.tokens[..., :-1]),
                batch.tokens,
                pad=vocabulary.pad,
            ).item()
            for model in (before, checkpoint.captioner)
        ]
    assert losses[1] < losses[0] - 0.02


def test_a_checkpoint_gives_the_same_logits_captions_and_maps(
    trained: Trained, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(trained.folder)
    again = load_checkpoint(save_checkpoint(tmp_path / "again", checkpoint))
    tokens = torch.tensor([[[2, 4, 5, 6]], [[2, 6, 7, 3]]])
    with torch.inference_mode():
        assert torch.equal(
            checkpoint.captioner(pixels(2), tokens), again.captioner(pixels(2), tokens)
        )
    before, after = pixels(1, size=50)[0].numpy()
    predictor = predictor_of(again, beam=2)
    caption = predictor(before, after)
    assert set(caption.text.split()) <= set(again.vocabulary.words)
    explanation = explain(before, after, predictor)
    assert explanation.caption.text == caption.text
    assert_maps(
        trained.settings.system,
        explanation.word_maps is not None,
        set(explanation.parts),
    )


def assert_maps(system: str, has_word_maps: bool, parts: set[str]) -> None:
    expected = {
        "capt-rep-diff": set[str](),
        "capt-att": {"attention"},
        "capt-dual-att": {"attention_bef", "attention_aft"},
        "duda": {"attention_bef", "attention_aft"},
        "siamese": {"difference"},
    }.get(system, {"encoded_bef", "encoded_aft"})
    if system in SEN:
        expected = {"sfe_bef", "sfe_aft", "cagd_bef", "cagd_aft"}
    assert parts == expected | {"memory"}
    assert has_word_maps == (system not in RECURRENT)


def test_the_shipped_checkpoint_is_rebuilt_as_it_was() -> None:
    from sencap.weights import SHIPPED

    checkpoint = load_checkpoint(SHIPPED)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.captioner.settings.difference.heads == 8
    assert count_parameters(checkpoint.captioner)["total"] > 0
