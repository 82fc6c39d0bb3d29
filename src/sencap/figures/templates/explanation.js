const words = [...document.querySelectorAll('.sentence button')];
const maps = [...document.querySelectorAll('.stage .map')];
const said = document.getElementById('said');
const hint = said.textContent;
let kept = null; /* the word that was pressed */

/* Lay a word's map over both images; no word: take it away. */
function show(word) {
  const scale = document.querySelector('input[name=scale]:checked').value;
  document.querySelector('.stage').classList.toggle('veiled', Boolean(word));
  for (const map of maps) {
    map.hidden = !word;
    if (word) map.src = word.dataset[scale];
  }
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
for (const choice of document.querySelectorAll('input[name=scale]')) {
  choice.addEventListener('change', () => show(kept));
}
