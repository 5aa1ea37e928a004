const syllables = [
  'ba',
  'ton',
  're',
  'li',
  'ga',
  'mo',
  'ner',
  'stu',
  'via',
  'que',
  'sol',
  'pri',
  'dan',
  'fe',
  'ock',
  'um',
  'tri',
  'ax',
  'we',
  'ly',
]

/** A text of 1 KB that compresses about as well as prose; the same one for the same number, because repeated letters would shrink to nothing in Postgres. */
export function earlier(number: number): string {
  let seed = (number + 1) * 2_654_435_761
  let text = ''
  while (text.length < 1_000) {
    seed = (Math.imul(seed ^ (seed >>> 15), 2_246_822_519) + 374_761_393) >>> 0
    text += syllables[seed % syllables.length] ?? ''
    if (seed % 7 < 3) text += ' '
  }
  return text.slice(0, 1_000)
}
