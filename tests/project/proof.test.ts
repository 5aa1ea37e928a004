import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { mutations } from '#scripts/mutations/list'
import { occurrences } from '#scripts/mutations/plant'
import { claims, coverage, differences, faultsOfSentences, isListed, readCases, readDesign, readSentences } from '#scripts/proof/cases'
import { listTests, type Listed } from '#scripts/proof/listing'
import { read, root } from '#tests/project/sources'

let tests: Listed[]
beforeAll(async () => {
  tests = await listTests()
})

describe('cases of acceptance', () => {
  test('each case and each invariant has a test that names it, and no test names another', () => {
    const { missing, unknown, proofs } = coverage(readCases(), tests)
    expect(missing).toEqual([])
    expect(unknown).toEqual([])
    expect(proofs.length).toBeGreaterThan(60)
  })

  test('the list is that of the design, where that is beside the checkout', ({ skip }) => {
    const design = readDesign()
    if (design === null) return skip('no ../shared/design')
    expect(differences(readCases(), design)).toEqual([])
  })

  test('each sentence of an invariant has its test or says why it has none, and those tests are there', () => {
    const sentences = readSentences()
    expect(faultsOfSentences(sentences, tests)).toEqual([])
    expect(new Set(sentences.map(({ id }) => id.split('.')[0])).size).toBe(12)
    expect(sentences.filter(({ none }) => none !== null).length).toBeLessThan(3)
  })

  test('a name claims what it says', () => {
    expect(claims('A42, A41: after a kill -9')).toEqual(['A42', 'A41'])
    expect(claims('rules > A78 through the API: what')).toEqual(['A78'])
    expect(claims('invariants 3 to 5, 7 and 9: $name')).toEqual(['I3', 'I4', 'I5', 'I7', 'I9'])
    expect(claims('invariant 4 and 5: calls')).toEqual(['I4', 'I5'])
    expect(claims('a level of 5')).toEqual([])
  })
})

describe('planted faults (npm run mutations)', () => {
  test('each has a name of its own and says which sentence it breaks', () => {
    const known = new Set(readCases().map(({ id }) => id))
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length)
    expect(mutations.flatMap(({ name, breaks }) => breaks.split(' ').flatMap((id) => (known.has(id) ? [] : [`${name}: ${id}`])))).toEqual(
      [],
    )
  })

  test('the text of each stands exactly once in its file', () => {
    expect(mutations.filter(({ file }) => !existsSync(join(root, file)))).toEqual([])
    const misfits = mutations.flatMap(({ name, file, text }) => {
      const times = occurrences(read(file), text)
      return times === 1 ? [] : [`${name}: ${times} times in ${file}`]
    })
    expect(misfits).toEqual([])
  })

  test('the test that must see each is there', () => {
    expect(mutations.flatMap(({ name, test: by }) => (isListed(tests, by) ? [] : [`${name}: ${by.file}: ${by.name}`]))).toEqual([])
  })

  test('each invariant has a fault that breaks it', () => {
    const broken = new Set(mutations.flatMap(({ breaks }) => breaks.split(' ')))
    expect(readCases().flatMap(({ id }) => (id.startsWith('I') && !broken.has(id) ? [id] : []))).toEqual([])
  })
})
