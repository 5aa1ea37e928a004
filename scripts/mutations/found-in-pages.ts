import type { Mutation } from '#scripts/mutations/mutation'

const lists = 'supabase/migrations/0008_agents_and_pages.sql'
const byBytes = {
  file: 'tests/store/pages.test.ts',
  name: 'a list ends a page at its bytes in the database: with one row at least, and by its pages everything is told once',
}
const heavy = {
  file: 'tests/chat/rows.test.ts',
  name: 'events of which two fill more than a page by their bytes are read to their end: by streams, by counts, in answers to a pause, as a response',
}

/** Pages that end at their bytes: in the database, and for those who read on. */
export const foundInPagesMutations: readonly Mutation[] = [
  {
    name: 'page-of-runs-has-no-bound-of-bytes',
    breaks: 'A3',
    file: lists,
    text: `told := baton.run_json(x.r, x.a);
    room := room - octet_length(told::text);`,
    replacement: `told := baton.run_json(x.r, x.a);`,
    test: byBytes,
  },
  {
    name: 'page-of-calls-has-no-bound-of-bytes',
    breaks: 'A3',
    file: lists,
    text: `told := baton.call_json(c);
    room := room - octet_length(told::text);`,
    replacement: `told := baton.call_json(c);`,
    test: byBytes,
  },
  {
    name: 'page-of-approvals-has-no-bound-of-bytes',
    breaks: 'A3',
    file: 'supabase/migrations/0023_decisions.sql',
    text: `    exit when cut;`,
    replacement: ``,
    test: byBytes,
  },
  {
    name: 'page-of-events-may-be-without-one',
    breaks: 'A3 I8',
    file: lists,
    text: `'step', one.step, 'data', one.data);
    room := room - octet_length(told::text);
    cut := room < 0 and cardinality(rows) > 0;`,
    replacement: `'step', one.step, 'data', one.data);
    room := room - octet_length(told::text);
    cut := room < 0;`,
    test: byBytes,
  },
  {
    name: 'page-of-events-ends-unsaid',
    breaks: 'A3 I8',
    file: lists,
    text: `    'data', array_to_json(rows), 'more', coalesce(cut or cardinality(rows)`,
    replacement: `    'data', array_to_json(rows), 'more', coalesce(cardinality(rows)`,
    test: byBytes,
  },
  {
    name: 'older-schema-has-no-second-page',
    breaks: 'I8',
    file: 'lib/store/store.ts',
    text: `told.more ?? page.data.length >= (argument.limit ?? lists.limit)`,
    replacement: `told.more`,
    test: {
      file: 'lib/store/store.test.ts',
      name: 'on a schema of before an upgrade, whose pages do not say whether there is more, a full one has more behind it',
    },
  },
  {
    name: 'stream-takes-a-cut-page-for-the-last',
    breaks: 'I8',
    file: 'lib/api/feed.ts',
    text: `if (page.more) continue`,
    replacement: `if (page.data.length === pageSize) continue`,
    test: {
      file: 'lib/api/feed.test.ts',
      name: 'a page that ended at its bytes is followed by the next one at once, and nothing live is shown before that one',
    },
  },
  {
    name: 'count-takes-a-cut-page-for-the-last',
    breaks: 'A16',
    file: 'lib/api/chat-reads.ts',
    text: `if (!page.more) return`,
    replacement: `if (page.data.length < pageSize) return`,
    build: true,
    test: heavy,
  },
  {
    name: 'response-takes-a-cut-page-for-the-last',
    breaks: 'A16',
    file: 'lib/api/responses-read.ts',
    text: `if (!page.more) {`,
    replacement: `if (page.data.length < pageSize) {`,
    build: true,
    test: heavy,
  },
  {
    name: 'pause-takes-a-cut-page-for-the-last',
    breaks: 'A35',
    file: 'lib/api/chat-answers.ts',
    text: `if (!page.more) return pausedAt ?? page.lastSeq`,
    replacement: `if (page.data.length < pageSize) return pausedAt ?? page.lastSeq`,
    build: true,
    test: heavy,
  },
  {
    name: 'results-beyond-a-cut-page-are-not-taken',
    breaks: 'A37',
    file: 'lib/api/chat-answers.ts',
    text: `if (!page.more) break`,
    replacement: `if (page.data.length < pageSize) break`,
    build: true,
    test: { file: 'tests/chat/rows.test.ts', name: 'results of calls of which each fills a page by its bytes are all taken' },
  },
]
