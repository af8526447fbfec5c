// Places in a text. Browsers count UTF-16 units, cutq counts characters (Unicode scalar values).

const isSecondHalf = (unit) => unit >= 0xdc00 && unit <= 0xdfff;

/** The character before which a unit stands. */
export const toCharacters = (text, unit) => [...text.slice(0, unit)].length;

/** The unit at which a character begins. */
export function toUnits(text, character) {
  let unit = 0;
  for (let n = 0; n < character && unit < text.length; n += 1) {
    unit += isSecondHalf(text.charCodeAt(unit + 1)) ? 2 : 1;
  }
  return unit;
}

const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });

/** What the arrow keys step over: words and marks in any script, but no blanks. */
export const words = (text) =>
  Array.from(segmenter.segment(text))
    .filter(({ segment }) => segment.trim() !== '')
    .map(({ segment, index }) => ({ start: index, end: index + segment.length }));

/** A place without blanks at its ends and with whole characters; none if nothing is left. */
export function tidy(text, { start, end }) {
  if (isSecondHalf(text.charCodeAt(start))) start -= 1;
  if (isSecondHalf(text.charCodeAt(end))) end += 1;
  while (start < end && text[start].trim() === '') start += 1;
  while (start < end && text[end - 1].trim() === '') end -= 1;
  return start < end ? { start, end } : null;
}

/** The places in their order; those that overlap are one. */
export function joined(places) {
  const found = [];
  for (const place of [...places].sort((a, b) => a.start - b.start)) {
    const last = found.at(-1);
    if (last !== undefined && place.start < last.end) last.end = Math.max(last.end, place.end);
    else found.push({ ...place });
  }
  return found;
}
