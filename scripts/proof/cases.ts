import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, type Listed } from '#scripts/proof/listing'

/** One sentence that a test must prove: a case of acceptance (A35) or an invariant of the run contract (I4). */
export interface Case {
  id: string
  text: string
  /** True for what another issue brings: (toolkit) or (later). */
  later: boolean
}

/** The list that belongs to the repository, and where its sources stand beside a checkout of the project. */
export const listFile = join(root, 'tests', 'acceptance', 'cases.md')
const sentencesFile = join(root, 'tests', 'acceptance', 'invariants.md')
const design = join(root, '..', 'shared', 'design')

/** Rows `| A35 | given | when | then |` of a table; an id may be followed by (toolkit) or (later). */
function casesIn(text: string): Case[] {
  return [...text.matchAll(/^\| (A\d+)(?: \((toolkit|later)\))? \| (.*) \|$/gm)].map(([, id = '', mark, cells = '']) => ({
    id,
    text: cells,
    later: mark !== undefined,
  }))
}

/** Lines `4. **Intent before effect.** ...`: the invariant's own name is its text. */
function invariantsIn(text: string): Case[] {
  return [...text.matchAll(/^(\d+)\. \*\*(.+?)\*\*/gm)].map(([, number = '', name = '']) => ({
    id: `I${number}`,
    text: name,
    later: false,
  }))
}

/** All cases and invariants of the repository's list. */
export function readCases(): Case[] {
  const text = readFileSync(listFile, 'utf8')
  return [...casesIn(text), ...invariantsIn(text)]
}

/** One sentence of an invariant with the tests that turn red when it is broken; `none` says why there is none. */
export interface Sentence {
  id: string
  text: string
  tests: Listed[]
  none: string | null
}

/** The sentences of the invariants: `## 4. Name`, `- sentence`, and under it `file: name of the test` or `(none) why`. */
export function readSentences(): Sentence[] {
  const found: Sentence[] = []
  let invariant = ''
  for (const line of readFileSync(sentencesFile, 'utf8').split('\n')) {
    invariant = /^## (\d+)\. /.exec(line)?.[1] ?? invariant
    if (line.startsWith('- ')) {
      const before = found.filter(({ id }) => id.startsWith(`I${invariant}.`)).length
      found.push({ id: `I${invariant}.${before + 1}`, text: line.slice(2), tests: [], none: null })
    }
    const [, none, file, name] = /^  (?:\(none\) (.+)|([\w/-]+\.test\.ts): (.+))$/.exec(line) ?? []
    const sentence = found.at(-1)
    if (sentence === undefined) continue
    if (none !== undefined) sentence.none = none
    if (file !== undefined && name !== undefined) sentence.tests.push({ file, name })
  }
  return found
}

/** True where the runner collects that test; names of the listing begin with the describes around them. */
export function isListed(tests: readonly Listed[], { file, name }: Listed): boolean {
  return tests.some((test) => test.file === file && (test.name === name || test.name.endsWith(` > ${name}`)))
}

/** What is wrong with the sentences, a line each: a test that is gone, or a sentence with neither a test nor a reason. */
export function faultsOfSentences(sentences: readonly Sentence[], tests: readonly Listed[]): string[] {
  return sentences.flatMap(({ id, text, tests: named, none }) => [
    ...(named.length === 0 && none === null ? [`${id} has neither a test nor a reason: ${text}`] : []),
    ...named.filter((test) => !isListed(tests, test)).map(({ file, name }) => `${id}: no such test: ${file}: ${name}`),
  ])
}

/** The same from the design beside the checkout; null where there is none. */
export function readDesign(): Case[] | null {
  const files = ['acceptance.md', '2-run-contract.md'].map((name) => join(design, name))
  if (!files.every((file) => existsSync(file))) return null
  const [acceptance = '', contract = ''] = files.map((file) => readFileSync(file, 'utf8'))
  return [...casesIn(acceptance), ...invariantsIn(contract)]
}

/** What two lists of cases do not share, a line each. */
export function differences(own: readonly Case[], other: readonly Case[]): string[] {
  const line = ({ id, text, later }: Case): string => `${id}${later ? ' (not yet)' : ''}: ${text}`
  const [ours, theirs] = [new Set(own.map(line)), new Set(other.map(line))]
  return [
    ...[...theirs].filter((text) => !ours.has(text)).map((text) => `only in the design: ${text}`),
    ...[...ours].filter((text) => !theirs.has(text)).map((text) => `only here: ${text}`),
  ]
}

/** The ids that a test's name claims: `A42, A41: ...`, `invariant 4 and 5: ...`, `invariants 1 to 9: ...`. */
export function claims(name: string): string[] {
  const acceptance = [...name.matchAll(/\bA\d+\b/g)].map(([id]) => id)
  const invariants = [...name.matchAll(/\binvariants? (\d+(?:(?:, | and | to )\d+)*)/g)].flatMap(([, numbers = '']) => expand(numbers))
  return [...new Set([...acceptance, ...invariants])]
}

function expand(numbers: string): string[] {
  return numbers.split(/, | and /).flatMap((part) => {
    const [from = 0, to = from] = part.split(' to ').map(Number)
    return Array.from({ length: to - from + 1 }, (_, index) => `I${from + index}`)
  })
}

/** Which tests prove which case. */
export interface Coverage {
  proofs: { case: Case; tests: Listed[] }[]
  /** Cases without a test. */
  missing: Case[]
  /** Tests that name a case which is not in the list. */
  unknown: string[]
}

/** Puts the tests to the cases that their names claim. */
export function coverage(cases: readonly Case[], tests: readonly Listed[]): Coverage {
  const known = new Set(cases.map(({ id }) => id))
  const claimed = tests.map((test) => ({ test, ids: claims(test.name) }))
  const proofs = cases.map((one) => ({ case: one, tests: claimed.filter(({ ids }) => ids.includes(one.id)).map(({ test }) => test) }))
  return {
    proofs,
    missing: proofs.filter((proof) => proof.tests.length === 0 && !proof.case.later).map((proof) => proof.case),
    unknown: claimed.flatMap(({ test, ids }) => ids.filter((id) => !known.has(id)).map((id) => `${id}: ${test.file}: ${test.name}`)),
  }
}
