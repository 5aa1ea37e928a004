import type { Mutation } from '#scripts/mutations/mutation'

const store = (name: string): Mutation['test'] => ({ file: 'lib/store/store.test.ts', name })
const repeated = store('invariant 3: %s is asked for once more, with the same ids, when its reply was lost')

/** Faults of the way to the database: what is asked again, and in whose name. No test beside the code noticed most of them when they were planted for the first time; the built server was not tried with each. */
export const foundInTheStoreMutations: readonly Mutation[] = [
  {
    name: 'lost-settlement-not-told-again',
    breaks: 'I3',
    file: 'lib/store/store.ts',
    text: `await again(() => call('settle', request))`,
    replacement: `await call('settle', request)`,
    test: repeated,
  },
  {
    name: 'lost-decision-not-asked-again',
    breaks: 'I3',
    file: 'lib/store/store.ts',
    text: `decide: (authority, request) => again(() => call('decide', { ...authority, ...request })),`,
    replacement: `decide: (authority, request) => call('decide', { ...authority, ...request }),`,
    test: repeated,
  },
  {
    name: 'lost-rotation-not-asked-again',
    breaks: 'I3',
    file: 'lib/store/store.ts',
    text: `again(() => call<RotatedKey | Refusal>('rotate_key', { ...made, key, ...authority }))`,
    replacement: `call<RotatedKey | Refusal>('rotate_key', { ...made, key, ...authority })`,
    test: repeated,
  },
  {
    name: 'lost-retry-not-asked-again',
    breaks: 'I3',
    file: 'lib/store/store.ts',
    text: `again(() => call<OpenAnswer | Refusal>('retry', { ...request, ...authority }))`,
    replacement: `call<OpenAnswer | Refusal>('retry', { ...request, ...authority })`,
    test: repeated,
  },
  {
    name: 'filter-says-who-asks',
    breaks: 'A86',
    file: 'lib/store/store.ts',
    text: `page<RunView>('list_runs', { ...lists, ...query, ...authority })`,
    replacement: `page<RunView>('list_runs', { ...lists, ...authority, ...query })`,
    test: store('A86: who asks is the credential, whatever a filter is called, and a page without a size has 200 rows'),
  },
  {
    name: 'page-without-a-bound',
    breaks: 'A8',
    file: 'lib/store/store.ts',
    text: `const lists = { limit: 200 }`,
    replacement: `const lists = {}`,
    test: store('A86: who asks is the credential, whatever a filter is called, and a page without a size has 200 rows'),
  },
  {
    name: 'refused-list-loses-its-code',
    breaks: 'A86',
    file: 'lib/store/store.ts',
    text: `isErrorCode(code) ? code : 'internal_error'`,
    replacement: `'internal_error'`,
    test: store('a list that is refused is an error with the code of the refusal; nothing is asked for nothing'),
  },
  {
    name: 'refusal-of-the-database-asked-again',
    breaks: 'I3',
    file: 'lib/store/again.ts',
    text: `if (!(error instanceof BatonError) || error.code !== 'database_unavailable') throw error`,
    replacement: `if (!(error instanceof BatonError)) throw error`,
    test: repeated,
  },
]
