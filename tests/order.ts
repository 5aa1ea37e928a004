import { sep } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take longest: whatever of them began last would end alone. */
const longest = [
  'tests/watch/health',
  'tests/crash/poison',
  'tests/live/recovery',
  'tests/shutdown/sigterm',
  'tests/crash/explorer',
  'tests/crash/killed',
  'tests/together/storm',
  'tests/adopt/adopt',
  'tests/crash/outages',
  'local/executor/executor',
  'local/stack',
  'tests/approvals/waits',
  'tests/access/rights',
]

function rank({ moduleId }: TestSpecification): number {
  const path = moduleId.replaceAll(sep, '/')
  const index = longest.findIndex((file) => path.endsWith(`/${file}.test.ts`))
  // Those with servers of their own next; the small ones fill the gaps at the end.
  return index >= 0 ? index : path.includes('/tests/') ? longest.length : longest.length + 1
}

/** The longest files first, on any machine; vitest knows what took how long only where it has run before. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b))
  }
}
