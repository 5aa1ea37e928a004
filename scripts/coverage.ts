import { coverage, differences, faultsOfSentences, readCases, readDesign, readSentences } from '#scripts/proof/cases'
import { listTests } from '#scripts/proof/listing'

/** `npm run coverage:cases`: which test proves which case of acceptance and which invariant; exit 1 when one has none. */
async function main(): Promise<boolean> {
  const cases = readCases()
  const all = await listTests()
  const { proofs, missing, unknown } = coverage(cases, all)
  const sentences = readSentences()
  for (const { case: one, tests } of proofs) {
    console.log(`${one.id}${one.later ? ' (not yet)' : ''}  ${one.text}`)
    for (const { file, name } of tests) console.log(`    ${file}: ${name}`)
    if (tests.length === 0) console.log(one.later ? '    not yet' : '    NO TEST')
    for (const { id, text, tests: named, none } of sentences.filter(({ id }) => id.startsWith(`${one.id}.`))) {
      console.log(`  ${id}  ${text}`)
      for (const { file, name } of named) console.log(`    ${file}: ${name}`)
      if (none !== null) console.log(`    no test: ${none}`)
    }
  }
  const due = proofs.filter((proof) => !proof.case.later)
  const count = new Set(proofs.flatMap(({ tests }) => tests)).size
  console.log(
    `\n${due.length - missing.length} of ${due.length} proved by ${count} tests; ${proofs.length - due.length} belong to later issues`,
  )

  const design = readDesign()
  const different = design === null ? [] : differences(cases, design)
  if (design === null) console.log('The design is not beside this checkout (../shared/design): the list of cases is taken as it stands.')
  else if (different.length === 0) console.log('The list of cases is that of the design.')
  const bare = sentences.filter(({ none }) => none !== null).length
  console.log(`${sentences.length - bare} of ${sentences.length} sentences of the invariants have a test of their own.`)
  const wrong = [
    ...faultsOfSentences(sentences, all),
    ...missing.map(({ id }) => `no test: ${id}`),
    ...unknown.map((line) => `no such case: ${line}`),
    ...different,
  ]
  for (const line of wrong) console.log(line)
  return wrong.length === 0
}

process.exitCode = (await main()) ? 0 : 1
