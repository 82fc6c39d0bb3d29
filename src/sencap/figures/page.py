"""Pages of pictures in one HTML file that needs nothing else: no network, no library, and no script to be read."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sencap.figures.maps import is_before, limits_of, part_title, relative, span
from sencap.figures.sheet import LONGEST, Map, ratio
from sencap.figures.words import DATE_NAMES, DATES, NO_WORD_MAPS
from sencap.images import shrink
from sencap.structures import ImagePair

SHOWN = 512  # pixels: the longer side of an image on a page
# matplotlib's viridis at every eighth; between them the colours are mixed
_VIRIDIS = np.array(
    [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98],
     [173, 220, 48], [253, 231, 37]], dtype=float,
)  # fmt: skip
CAUTION = (
    "Attention is not an explanation. A map shows which cells the network mixed into its answer, not why, and not "
    "that another map would have given another word. By the time the decoder looks, every cell already knows of "
    "the whole scene, so that a bright cell need not be where the thing is; corners and edges are often bright "
    "with nothing in them."
)


def render(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page; ``title`` is plain text, ``body`` HTML, ``style`` what it needs beside the common style."""
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}{style}</style>"
    )
    tail = f"<script>{script}</script>" if script else ""
    return f"<!doctype html>\n<html lang='en'><head>{head}</head><body><main>\n{body}\n</main>{tail}</body></html>\n"


def data_uri(image: NDArray[np.uint8]) -> str:
    """An image (3, H, W) as a PNG inside its address, at most `SHOWN` pixels long."""
    few = shrink(image, LONGEST)  # Pillow's copies of a large image would take much memory
    picture = Image.fromarray(np.ascontiguousarray(few.transpose(1, 2, 0)))
    picture.thumbnail((SHOWN, SHOWN))
    return _png(picture)


def map_uri(values: Map, limits: tuple[float, float]) -> str:
    """A map (h, w) in viridis from limits[0] to limits[1], one pixel per cell."""
    low, high = limits
    level = np.clip((np.asarray(values, dtype=float) - low) / (high - low), 0, 1)
    at = np.linspace(0, 1, len(_VIRIDIS))
    colours = np.stack([np.interp(level, at, channel) for channel in _VIRIDIS.T], -1)
    return _png(Image.fromarray(colours.round().astype(np.uint8)))


def explanation_page(
    pair: ImagePair,
    caption: str,
    *,
    words: Sequence[str],
    word_maps: Sequence[Map] | None,
    parts: Mapping[str, Map],
    attention: Mapping[str, Map],
    dates: Map | None = None,
    note: str = "",
) -> str:
    """The page of one explained caption: point at a word, and its map lies over both images.

    Arguments as `sencap.figures.words.draw_words`; attention: how much attention each cell received in each of
    the encoder's attentions, (h, w) summing to 1. Every map also stands on the page as a picture.
    """
    photos = [data_uri(image) for image in pair.images]
    has_words = word_maps is not None and len(words) > 0
    sections = [_sentence(words, word_maps) if word_maps is not None and words else _plain(caption)]
    if note:
        sections.append(f"<p class='lead'>{escape(note)}</p>")
    if word_maps is None:
        sections.append(f"<p class='lead'>{NO_WORD_MAPS}</p>")
    empty = "<img class='map' id='map-{0}' alt='' hidden>" if has_words else ""
    frames = "".join(
        f"<figure><div class='frame'><div class='ground {date}' role='img' aria-label='the place {date}'></div>"
        f"{empty.format(date)}</div><figcaption>{date}</figcaption></figure>"
        for date in ("before", "after")
    )
    sections.append(f"<div class='two stage'>{frames}</div>")
    if word_maps is not None and has_words:
        sections += [_CONTROLS, _all_words(words, word_maps)]
    if dates is not None and len(words):
        sections.append(_dates(words, dates))
    if parts:
        sections.append(_parts(parts))
    if attention:
        sections.append(_attention(attention))
    sections.append(f"<h2>What these maps do not show</h2><p class='lead'>{CAUTION}</p>")
    title = f"Where it looked: {caption or '(empty caption)'}"
    style = "".join(
        f".{date} {{ background-image: url({photo}); }}\n"
        for photo, date in zip(photos, ("before", "after"), strict=True)
    )
    style += f".ground {{ aspect-ratio: {1 / ratio(pair.images[0]):g}; }}\n"
    return render(title, "\n".join(sections), style=style, script=_SCRIPT if has_words else "")


def _plain(caption: str) -> str:
    return f"<h1>{escape(caption) or '<em>(empty caption)</em>'}</h1>"


def _sentence(words: Sequence[str], maps: Sequence[Map]) -> str:
    shares = [relative(values) for values in maps]
    common = (0.0, limits_of(shares)[1])
    buttons = []
    for word, values in zip(words, shares, strict=True):
        own = limits_of([values])
        buttons.append(
            f"<button type='button' aria-pressed='false' data-said='{escape(_said(word, values), quote=True)}' "
            f"data-common='{map_uri(values, common)}' data-common-span='{span(*common)}' "
            f"data-own='{map_uri(values, own)}' data-own-span='{span(*own)}'>{escape(word)}</button>"
        )
    return f"<h1 class='sentence'>{' '.join(buttons)}</h1>"


def _said(word: str, shares: Map) -> str:
    """The map in words, for those who do not see it."""
    row, column = (int(i) for i in np.unravel_index(int(shares.argmax()), shares.shape))
    h, w = shares.shape
    return (
        f"“{word}”: most attention in row {row + 1} of {h}, column {column + 1} of {w}, "
        f"{100 * float(shares.max()) / shares.size:.0f} % ({float(shares.max()):.1f} times an even share)"
    )


def _all_words(words: Sequence[str], maps: Sequence[Map]) -> str:
    shares = [relative(values) for values in maps]
    common = (0.0, limits_of(shares)[1])
    figures = "".join(
        _overlay("after", values, common, f"<b>{escape(word)}</b>", _said(word, values))
        for word, values in zip(words, shares, strict=True)
    )
    text = (
        "The decoder's cross attention as it chose each word, mean over heads and layers, over the image after. "
        "1 is an even share."
    )
    head = f"<h2>Every word, on one scale</h2><p class='lead'>{text}</p>{_legend(common)}"
    return f"{head}<div class='many'>{figures}</div>"


def _dates(words: Sequence[str], dates: Map) -> str:
    head = "".join(f"<th scope='col'>{name}</th>" for name in DATE_NAMES)
    rows = "".join(
        f"<tr><th scope='row'>{escape(word)}</th>"
        + "".join(
            f"<td><meter min='0' max='1' value='{share:.2f}'></meter> {share:.2f}</td>"
            for share in shares
        )
        + "</tr>"
        for word, shares in zip(words, dates, strict=True)
    )
    return f"<h2>{DATES}</h2><table class='dates'><tr><td></td>{head}</tr>{rows}</table>"


def _parts(parts: Mapping[str, Map]) -> str:
    shares = {name: relative(values) for name, values in parts.items()}
    common = limits_of(list(shares.values()))
    own, same = [], []
    for name, values in parts.items():
        date = _date(name)
        low, high = float(values.min()), float(values.max())
        title = f"<b>{escape(part_title(name))}</b>"
        said = f"{part_title(name)}, from {span(low, high)}"
        own.append(
            _overlay(date, values, limits_of([values]), f"{title}<br>{span(low, high)}", said)
        )
        same.append(_overlay(date, shares[name], common, title, said))
    return (
        "<h2>The parts of the memory</h2><p class='lead'>Mean of the absolute values over the channels of each cell. "
        "On its own scale every map runs from its least to its greatest value, however close they are; a map that is "
        f"flat on the common scale tells nothing of where.</p><h3>Each on its own scale</h3><div class='many'>"
        f"{''.join(own)}</div><h3>Divided by its mean, on one common scale</h3>{_legend(common)}"
        f"<div class='many'>{''.join(same)}</div>"
    )


def _attention(attention: Mapping[str, Map]) -> str:
    shares = {name: relative(values) for name, values in attention.items()}
    common = (0.0, limits_of(list(shares.values()))[1])
    figures = "".join(
        _overlay(
            _date(name),
            values,
            common,
            _name(name),
            _said(name, values),
        )
        for name, values in shares.items()
    )
    return (
        "<h2>Attention inside the encoder</h2><p class='lead'>How much attention each cell received, mean over heads "
        f"and asking cells. 1 is an even share.</p>{_legend(common)}<div class='many'>{figures}</div>"
    )


def _name(name: str) -> str:
    return f"<code>{escape(name).replace('.', '.<wbr>')}</code>"


def _date(name: str) -> str:
    return "before" if is_before(name) else "after"


def _overlay(date: str, values: Map, limits: tuple[float, float], title: str, said: str) -> str:
    return (
        f"<figure><div class='frame'><div class='ground {date}'></div><img class='map' "
        f"src='{map_uri(values, limits)}' alt='{escape(said, quote=True)}'></div>"
        f"<figcaption>{title}</figcaption></figure>"
    )


def _legend(limits: tuple[float, float]) -> str:
    low, high = span(*limits).split("–")
    return f"<p class='legend'><span>{low}</span><i></i><span>{high}</span></p>"


def _png(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


_CONTROLS = """<div class='controls'><p class='legend'><span id='low'>least</span><i></i><span id='high'>most</span></p>
<fieldset><legend>Scale, in multiples of an even share</legend>
<label><input type='radio' name='scale' value='common' checked> one for the whole sentence</label>
<label><input type='radio' name='scale' value='own'> each word's own</label></fieldset>
<p id='said' role='status'>Point at a word, or move to it with the Tab key; press it to keep its map.</p></div>"""

_SCRIPT = """
const words = [...document.querySelectorAll('.sentence button')], said = document.getElementById('said');
const maps = [...document.querySelectorAll('.stage .map')], hint = said.textContent;
let kept = null;
function show(word) {
  const scale = document.querySelector('input[name=scale]:checked').value;
  document.querySelector('.stage').classList.toggle('veiled', Boolean(word));
  for (const map of maps) { map.hidden = !word; if (word) map.src = word.dataset[scale]; }
  for (const one of words) one.classList.toggle('shown', one === word);
  const ends = word ? word.dataset[scale + 'Span'].split('–') : ['least', 'most'];
  document.getElementById('low').textContent = ends[0];
  document.getElementById('high').textContent = ends[1];
  said.textContent = word ? word.dataset.said : hint;
}
for (const word of words) {
  word.addEventListener('mouseenter', () => show(word));
  word.addEventListener('focus', () => show(word));
  for (const end of ['mouseleave', 'blur']) word.addEventListener(end, () => show(kept));
  word.addEventListener('click', () => {
    kept = kept === word ? null : word;
    for (const one of words) one.setAttribute('aria-pressed', String(one === kept));
    show(kept);
  });
}
for (const choice of document.querySelectorAll('input[name=scale]'))
  choice.addEventListener('change', () => show(kept));
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2529; --soft: #5c6970; --paper: #f5f4f0; --card: #fff;
  --line: #dfddd6; --mark: #a8480a; --on: #0a4f7a; --on-ink: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a2abb0; --paper: #15191b; --card: #1e2427;
  --line: #343c40; --mark: #ffa366; --on: #9bd0f5; --on-ink: #10181d; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2.5rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { margin: 0 auto; max-width: 1000px; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; padding-top: 1.25rem; border-top: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
.lead { color: var(--soft); margin: 0 0 1rem; max-width: 75ch; }
.small, figcaption { color: var(--soft); font-size: .8rem; margin: 0; overflow-wrap: anywhere; }
figure { margin: 0; }
figcaption { text-align: center; margin-top: .25rem; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; align-content: start; }
.stage { max-width: 820px; }
.many { display: grid; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); gap: .75rem .5rem; }
.frame { position: relative; overflow: hidden; border-radius: 4px; background: #fff; }
.photo { display: block; width: 100%; height: auto; border-radius: 4px; }
.ground { background-size: 100% 100%; }
.many .ground, .veiled .ground { filter: grayscale(1) contrast(.7) brightness(1.25); }
.map { position: absolute; inset: 0; width: 100%; height: 100%; opacity: .62; image-rendering: pixelated; }
.map[hidden] { display: none; }
.sentence button { font: inherit; color: inherit; background: none; border: 0; border-bottom: 3px dotted var(--soft);
  padding: 0 .1em; cursor: pointer; border-radius: 4px 4px 0 0; }
.sentence button.shown { background: var(--on); color: var(--on-ink); border-bottom-style: solid; }
.sentence button[aria-pressed=true] { border-bottom: 3px solid var(--mark); }
.sentence button:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
.controls { margin: .75rem 0; }
fieldset { border: 0; padding: 0; margin: 0; font-size: .9rem; } fieldset legend { color: var(--soft); padding: 0; }
label { margin-right: 1.25rem; } #said { min-height: 3em; margin: .5rem 0; }
.legend { display: flex; align-items: center; gap: .5rem; font-size: .85rem; margin: 0 0 .75rem;
  font-variant-numeric: tabular-nums; }
.legend i { width: 160px; height: .8rem; border-radius: 2px; background: linear-gradient(90deg, #4401549e, #472d7b9e,
  #3b528b9e, #2c728e9e, #21918c9e, #28ae809e, #5ec9629e, #addc309e, #fde7259e) #a6a6a6; }
.compared { display: grid; grid-template-columns: minmax(0, 420px) minmax(0, 1fr); gap: 1.25rem; background:
  var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 0 0 1rem; }
.references { color: var(--soft); font-size: .92rem; margin: 0 0 .75rem; padding: 0 0 0 .75rem; list-style: none;
  border-left: 3px solid var(--line); }
dl { margin: 0; } dt { font-weight: 600; font-size: .9rem; } dd { margin: 0 0 .5rem; }
mark { background: none; color: var(--mark); font-weight: 700; text-decoration: underline; text-decoration-thickness:
  2px; text-underline-offset: 3px; }
code { font-size: .75rem; }
.dates { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.dates th, .dates td { padding: .15rem .75rem; text-align: left; } .dates meter { width: 6rem; }
@media (max-width: 760px) { .compared { grid-template-columns: minmax(0, 1fr); } }
@media print { article, figure { break-inside: avoid; } }
"""
