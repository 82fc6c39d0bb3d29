"""Explaining a caption: recording leaves the outputs alone, the maps are the decoder's
own, the verb writes them."""

from __future__ import annotations

import base64
import html
import html.parser
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reference.on_arrays import as_arrays, captioner_of, checkpoint_of, predictor_of
from sencap import ModelSettings
from sencap.cli import main
from sencap.config import ExtractorSettings
from sencap.data.levir_cc import read_captions
from sencap.data.vocabulary import Vocabulary
from sencap.engines.contract import Ids, PairMemory, Step
from sencap.engines.torch import attention_received
from sencap.errors import MissingDependencyError, OutputError, ShapeError
from sencap.explain import Explanation, _activation, _of_words, _received, explain, save
from sencap.figures.words import NO_WORD_MAPS
from sencap.images import as_pair
from sencap.models.attention import Attention, Record, attention_weights, recording
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.variants import build
from sencap.predictor import Predictor
from sencap.structures import Caption


@pytest.fixture
def predictor(tiny_data: Path, tiny_model: ModelSettings) -> Predictor:
    captions = [words for entry in read_captions(tiny_data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    torch.manual_seed(0)
    captioner = build(tiny_model, len(vocabulary)).eval()
    return predictor_of(Checkpoint(captioner, vocabulary, tiny_model, {}), beam=2)


@pytest.fixture
def pair(tiny_data: Path) -> tuple[str, str]:
    folder = tiny_data / "images" / "test"
    return str(folder / "A" / "test_000002.png"), str(folder / "B" / "test_000002.png")


def _images(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 2, 3, 64, 64), generator=generator)


# Recording


@pytest.mark.parametrize("training", [False, True])
def test_recording_leaves_every_output_bit_for_bit(
    predictor: Predictor, training: bool
) -> None:
    captioner = captioner_of(predictor).train(training)
    tokens = torch.tensor([[[2, 5, 6, 7], [2, 6, 5, 8]], [[2, 7, 7, 5], [2, 8, 9, 4]]])
    state = captioner.state_dict()
    kept = {name: value.clone() for name, value in state.items()}

    def run() -> tuple[Tensor, Tensor]:
        captioner.load_state_dict(kept)  # batch statistics move in training
        torch.manual_seed(1)
        logits = captioner(_images(), tokens)
        decoder = captioner.search_decoder
        step, _ = decoder.step(
            decoder.start(captioner.encode(_images())), tokens[:, :1, 0]
        )
        return logits, step

    plain = run()
    with recording(captioner) as record:
        seen = run()
    assert record
    assert all(torch.equal(a, b) for a, b in zip(plain, seen, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(plain, run(), strict=True))


def test_every_attention_is_recorded_in_passes_and_in_steps(
    predictor: Predictor,
) -> None:
    captioner = captioner_of(predictor)
    tokens = torch.tensor([[[2, 5, 6]], [[2, 6, 5]]])
    names = {
        name for name, part in captioner.named_modules() if isinstance(part, Attention)
    }
    with recording(captioner) as record:
        memory = captioner.encode(_images())
        captioner.decoder(memory, tokens)
        state = captioner.search_decoder.start(memory)
        for t in range(3):
            _, state = captioner.search_decoder.step(state, tokens[..., t])
    assert set(record) == names
    N = memory.tokens.shape[1]
    whole, *steps = record["decoder.layers.0.cross_attention"]
    assert whole.shape == (2, 4, 3, N)
    assert torch.cat(steps, 2) == pytest.approx(whole, abs=1e-6)
    own, *own_steps = record["decoder.layers.0.self_attention"]
    assert [tuple(step.shape) for step in own_steps] == [
        (2, 4, 1, 1),
        (2, 4, 1, 2),
        (2, 4, 1, 3),
    ]
    assert own.triu(1).eq(0).all(), "no word sees later ones"
    for weights in (w for calls in record.values() for w in calls):
        assert weights.dtype == torch.float32
        assert weights.device.type == "cpu"
        assert not weights.requires_grad
        assert weights.sum(-1) == pytest.approx(
            torch.ones(weights.shape[:-1]), abs=1e-5
        )


def test_the_recorded_weights_are_those_that_made_the_output() -> None:
    torch.manual_seed(0)
    attention = Attention(12, heads=3, dropout=0.0)
    query, source = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    with torch.no_grad(), recording(attention) as record:
        out = attention(query, source)
    _, value = attention.project(source)
    again = attention.out((record[""][0] @ value).transpose(1, 2).reshape(2, 5, 12))
    assert torch.allclose(again, out, atol=1e-6)


def test_weights_literally_with_a_mask() -> None:
    query, key = torch.randn(1, 1, 2, 4), torch.randn(1, 1, 3, 4)
    mask = torch.tensor([[True, False, True], [True, True, True]])
    weights = attention_weights(query, key, mask=mask)[0, 0]
    for i in range(2):
        scores = [
            math.exp((query[0, 0, i] @ key[0, 0, j]).item() / 2) if mask[i, j] else 0.0
            for j in range(3)
        ]
        assert weights[i].tolist() == pytest.approx(
            [s / sum(scores) for s in scores], abs=1e-6
        )


def test_recording_is_off_afterwards_even_after_an_error(predictor: Predictor) -> None:
    captioner = captioner_of(predictor)
    attentions = [part for part in captioner.modules() if isinstance(part, Attention)]
    outer: Record = {}

    def interrupted() -> None:
        with recording(captioner) as record:
            with recording(captioner.decoder) as inner:
                memory = captioner.encode(_images())
                captioner.decoder(memory, torch.tensor([[[2]], [[2]]]))
            assert all(name.startswith("layers.0") for name in inner)
            assert all(name.startswith("difference") for name in record), (
                "the inner one gets the decoder's"
            )
            outer.update(record)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert all(part.recorder is None for part in attentions)
    before = {name: len(calls) for name, calls in outer.items()}
    captioner.encode(_images())
    assert {name: len(calls) for name, calls in outer.items()} == before


# Explanations


def test_an_explanation_has_the_predictors_caption_and_a_map_for_each_word(
    predictor: Predictor, pair: tuple[str, str]
) -> None:
    found = explain(*pair, predictor)
    caption = predictor(*pair)
    assert found.caption == caption
    assert found.words == tuple(caption.text.split())
    assert found.grid == (2, 2)
    assert found.word_maps is not None
    assert found.word_maps.shape == (len(found.words), 2, 2)
    assert found.word_maps.sum((1, 2)) == pytest.approx(1, abs=1e-5)
    assert set(found.parts) == {"sfe_bef", "sfe_aft", "cagd_bef", "cagd_aft", "memory"}
    assert set(found.attention) == {
        "difference.layers.0.attention",
        "difference.layers.0.cross.bef.attention",
        "difference.layers.0.cross.aft.attention",
    }
    for values in found.attention.values():
        assert values.sum() == pytest.approx(1, abs=1e-5)


def test_a_words_map_is_that_of_the_step_that_chose_it(
    predictor: Predictor, pair: tuple[str, str]
) -> None:
    found = explain(*pair, predictor)
    decoder, v = captioner_of(predictor).search_decoder, predictor.checkpoint.vocabulary
    memory = captioner_of(predictor).encode(
        torch.from_numpy(as_pair(*pair).images)[None]
    )
    assert memory.grid == found.grid
    state = decoder.start(memory)
    with torch.no_grad(), recording(captioner_of(predictor).decoder) as record:
        for word in [v.start, *v.encode(found.words)][:-1]:
            _, state = decoder.step(state, torch.tensor([[word]]))
    steps = torch.stack(
        [w[0].mean(0)[0] for w in record["layers.0.cross_attention"]]
    ).view(-1, 2, 2)
    assert found.word_maps == pytest.approx(steps.numpy(), abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_what_follows_a_word_changes_nothing_of_its_map(
    predictor: Predictor, count: int
) -> None:
    memory = as_arrays(captioner_of(predictor).encode(_images()[:1]))
    vocabulary = predictor.checkpoint.vocabulary
    words = vocabulary.decode(range(4, 4 + count))
    longer, dates = _of_words(predictor.engine, memory, vocabulary, [*words, "a", "a"])
    assert dates is None
    assert longer is not None
    assert longer.shape == (count + 2, 2, 2)
    maps, _ = _of_words(predictor.engine, memory, vocabulary, words)
    assert maps is not None
    assert maps == pytest.approx(longer[:count], abs=1e-6)


class _NoAttention:
    def start(self, memory: PairMemory, *, explain: bool = False) -> None:
        assert explain

    def step(self, state: None, words: Ids) -> Step:
        return Step(np.zeros((*words.shape, 9), np.float32), state)


def test_a_decoder_that_does_not_look_at_the_grid_has_no_word_maps(
    predictor: Predictor, tmp_path: Path
) -> None:
    attended = np.array([[[0.1], [0.2], [0.3], [0.4], [0.5], [0.6]]], np.float32)
    memory = PairMemory(
        np.zeros((1, 6, 8), np.float32), (2, 3), {"attention_bef": attended}, {}
    )
    vocabulary = predictor.checkpoint.vocabulary
    assert _of_words(_NoAttention(), memory, vocabulary, ["a"]) == (None, None)
    maps = _activation(attended, (2, 3))
    assert maps.tolist() == pytest.approx(np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]))
    images = as_pair(np.zeros((64, 96, 3), np.uint8), np.zeros((64, 96, 3), np.uint8))
    found = Explanation(
        images,
        Caption("a <b>", -1.0, True),
        ("a", "<b>"),
        (2, 3),
        None,
        {"attention_bef": maps},
    )
    text = save(found, tmp_path / "out.html").read_text(encoding="utf-8")
    assert NO_WORD_MAPS in html.unescape(text)
    assert "attention, before" in text
    assert "a &lt;b&gt;" in text
    assert "<script>" not in text
    assert save(found, tmp_path / "out.png").stat().st_size > 1000
    assert save(
        Explanation(images, Caption("", -1.0, True), (), (2, 3)),
        tmp_path / "empty.html",
    ).is_file()
    assert save(
        Explanation(images, Caption("", -1.0, True), (), (2, 3)), tmp_path / "empty.png"
    ).is_file()


def test_a_speaker_that_weighs_the_dates_at_each_word_is_shown_with_its_weights(
    tiny_data: Path, pair: tuple[str, str], tmp_path: Path
) -> None:
    captions = [words for entry in read_captions(tiny_data) for words in entry.captions]
    vocabulary = Vocabulary.build(captions, minimum_count=1)
    torch.manual_seed(0)
    settings = ModelSettings(
        system="duda",
        dimension=16,
        size=64,
        extractor=ExtractorSettings(backbone="test_resnet", stage=3, grid=2),
    )
    checkpoint = Checkpoint(
        build(settings, len(vocabulary)).eval(), vocabulary, settings, {}
    )
    predictor = predictor_of(checkpoint, beam=1)
    memory = captioner_of(predictor).encode(_images()[:1])
    speaker: Any = captioner_of(predictor).decoder
    words = vocabulary.decode([4, 5, 6])
    _, dates = _of_words(predictor.engine, as_arrays(memory), vocabulary, words)
    assert dates is not None
    with torch.no_grad():
        state = speaker.start(memory)
        # Literally, word by word.
        for number, token in enumerate([vocabulary.start, 4, 5]):
            v, h = state.v[:, None], state.cells[1][0]
            asked = torch.cat((v, h), 2)[:, 0]
            d, _ = speaker.lstm_d(asked, tuple(x[:, 0] for x in state.cells[0]))
            assert dates[number] == pytest.approx(
                speaker.weigh(d).softmax(1)[0].numpy(), abs=1e-6
            )
            _, state = speaker.step(state, torch.tensor([[token]]))
    assert dates.shape == (3, 3)
    found = explain(*pair, predictor)
    assert found.word_maps is None
    assert found.dates is not None
    assert found.dates.shape == (len(found.words), 3)
    shown = Explanation(
        found.pair,
        Caption("a b", -1.0, True),
        ("a", "b"),
        (2, 2),
        dates=np.array([[0.2, 0.3, 0.5], [0, 0.25, 0.75]]),
    )
    text = save(shown, tmp_path / "out.html").read_text(encoding="utf-8")
    checked = _Page()
    checked.feed(text)
    assert checked.open == []
    assert [t for t, _ in checked.tags].count("meter") == 6
    assert "</meter> 0.75</td>" in text
    assert save(shown, tmp_path / "out.png").stat().st_size > 1000
    with pytest.raises(ShapeError, match=r"2 words have dates \(2, 3\)"):
        Explanation(
            found.pair,
            Caption("a b", -1.0, True),
            ("a", "b"),
            (2, 2),
            dates=np.zeros((2, 2)),
        )


def test_attention_to_both_dates_becomes_a_map_for_each() -> None:
    weights = torch.softmax(torch.randn(1, 2, 5, 12), -1)
    # The last is about something else.
    seen = {"both": [weights, weights[..., :6], torch.ones(1, 2, 5, 7)]}
    received = {
        name: values.numpy() for name, values in attention_received(seen, 6).items()
    }
    found = _received(PairMemory(np.zeros((1, 6, 8), np.float32), (2, 3), {}, received))
    assert list(found) == ["both #1, before", "both #1, after", "both #2"]
    mean = weights[0].mean((0, 1))
    assert found["both #1, after"].ravel() == pytest.approx(mean[6:].numpy())


def test_an_explanation_refuses_maps_that_do_not_fit() -> None:
    images = as_pair(np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8))
    caption = Caption("a house", -1.0, True)
    with pytest.raises(ShapeError, match="2 words on a grid"):
        Explanation(images, caption, ("a", "house"), (2, 2), np.zeros((3, 2, 2)))
    with pytest.raises(ShapeError, match="'memory' must be"):
        Explanation(
            images, caption, ("a", "house"), (2, 2), None, {"memory": np.zeros((2, 3))}
        )


# Files and the verb


class _Page(html.parser.HTMLParser):
    """Checks that tags are balanced; collects the attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br", "input", "wbr"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def weights(tmp_path: Path, predictor: Predictor) -> str:
    return str(save_checkpoint(tmp_path / "weights", checkpoint_of(predictor)))


def test_explain_writes_a_page_that_needs_nothing_else(
    weights: str,
    pair: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "why.html"
    assert (
        main(["explain", *pair, "-o", str(out), "--weights", weights, "--beam", "2"])
        == 0
    )
    caption, line = capsys.readouterr().out.splitlines()
    assert str(out) in line
    text = out.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    bare = re.sub(r"data:image/png;base64,[\w+/=]+", "data:", text)
    assert not re.search(r"http|//|<link|@import|src=.(?!data:)|url\((?!data:)", bare)
    buttons = [attrs for tag, attrs in page.tags if tag == "button"]
    assert len(buttons) == len(caption.split())
    for button in buttons:
        assert button["aria-pressed"] == "false"
        assert "row" in str(button["data-said"])
        for scale in ("data-common", "data-own"):
            head, _, data = str(button[scale]).partition(",")
            assert head == "data:image/png;base64"
            assert base64.b64decode(data).startswith(b"\x89PNG")
    assert all("alt" in attrs for tag, attrs in page.tags if tag == "img")
    assert "Attention is not an explanation" in text


def test_explain_draws_a_picture(
    weights: str,
    pair: tuple[str, str],
    tmp_path: Path,
    predictor: Predictor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "why.svg"
    assert (
        main(["explain", *pair, "--out", str(out), "--weights", weights, "--beam", "2"])
        == 0
    )
    # Matplotlib notes each text beside its outlines.
    text = out.read_text(encoding="utf-8")
    for said in (
        "× an even share",
        "÷ the map's mean",
        "SFE, before",
        "CAGD, after",
        "own scales",
    ):
        assert f"<!-- {said} -->" in text
    assert f"<!-- {predictor(*pair).text.split()[0]} -->" in text
    out = tmp_path / "why.png"
    assert main(["explain", *pair, "-o", str(out), "--weights", weights]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {
        "why.svg",
        "why.png",
        "weights",
    }


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("why.gif", "must end in one of .png, .pdf, .svg, .html"),
        ("nowhere/why.png", "does not exist; make it first"),
        ("folder.html", "is a folder"),
        (None, "out"),
    ],
)
def test_a_wrong_out_is_refused_before_anything_runs(
    out: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.html").mkdir()
    flags = [] if out is None else ["-o", str(tmp_path / out)]
    assert main(["explain", "missing.png", "missing.png", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "missing.png" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


def test_a_bad_image_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["explain", "missing.png", "other.png", "-o", str(tmp_path / "why.html")])
        == 2
    )
    assert "missing.png" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_pictures_are_refused_and_pages_are_written(
    predictor: Predictor,
    pair: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = explain(*pair, predictor)
    with pytest.raises(
        MissingDependencyError,
        match=r"pip install 'sencap\[figures\]', or let the file end in .html",
    ):
        save(found, tmp_path / "why.png")
    assert save(found, tmp_path / "why.html").is_file()
    with pytest.raises(OutputError, match="cannot be written"):
        save(found, tmp_path / ("x" * 255 + ".html"))
    assert [path.name for path in tmp_path.iterdir()] == ["why.html"]


@pytest.mark.parametrize("words", [None, ["a", "house", "appears"]])
def test_equal_images_are_explained_as_what_they_are(
    predictor: Predictor,
    tiny_model: ModelSettings,
    tmp_path: Path,
    words: list[str] | None,
) -> None:
    if words is not None:  # a vocabulary that lacks the fixed sentence
        vocabulary = Vocabulary.build([words], minimum_count=1)
        captioner = build(tiny_model, len(vocabulary)).eval()
        predictor = predictor_of(Checkpoint(captioner, vocabulary, tiny_model, {}))
    image = np.zeros((64, 64, 3), np.uint8)
    found = explain(image, image, predictor)
    assert found.caption.text == "the scene is the same as before"
    assert found.word_maps is not None
    assert len(found.word_maps) == 7
    page = save(found, tmp_path / "why.html").read_text(encoding="utf-8")
    assert "Note: the two images are equal" in html.unescape(page)
