import type { Mutation } from '#scripts/mutations/mutation'

const rights = 'tests/access/rights.test.ts'
const hooks = {
  file: 'lib/engine/hooks.test.ts',
  name: 'what hooks and rules write into the outcome, the usage or the metadata changes nothing that is stored, charged or told to others',
}
const queue = {
  file: 'tests/surface/lists.test.ts',
  name: 'GET 200: messages that wait end a page at 4 MB, too: each is told once and whole, behind all that entered, in its turn',
}

/** Faults that a second reader found, planted again. */
export const foundBySecondReadingMutations: readonly Mutation[] = [
  {
    name: 'who-waits-behind-a-pause-reads-it',
    breaks: 'A86',
    file: 'supabase/migrations/0013_approvals.sql',
    text: `if reader is null or (select`,
    replacement: `if true or (select`,
    test: {
      file: rights,
      name: 'behind a pause, or refused or steered for it, it learns which tool waits and nothing of what that was given',
    },
  },
  {
    name: 'steered-pause-is-read',
    breaks: 'A86',
    file: 'lib/api/messages.ts',
    text: `facts, mayReadOf(opened, facts.runId))`,
    replacement: `facts, true)`,
    build: true,
    test: {
      file: rights,
      name: 'behind a pause, or refused or steered for it, it learns which tool waits and nothing of what that was given',
    },
  },
  {
    name: 'stream-behind-a-pause-reads-it',
    breaks: 'A86',
    file: 'lib/api/feed.ts',
    text: `...(reader === null ? {} : { reader }),`,
    replacement: '',
    build: true,
    test: {
      file: rights,
      name: 'behind a pause, or refused or steered for it, it learns which tool waits and nothing of what that was given',
    },
  },
  {
    name: 'retry-makes-anothers-run-ones-own',
    breaks: 'A86',
    file: 'supabase/migrations/0010_callers.sql',
    text: `if not own or r.retry_of is null then return own; end if;`,
    replacement: `return own;`,
    test: {
      file: rights,
      name: "a retry of another's run tells which run it is and where it stands, and so does a stop of that one",
    },
  },
  {
    name: 'steered-run-is-told-from-its-beginning',
    breaks: 'A86',
    file: 'supabase/migrations/0004_open.sql',
    text: `'mayRead', baton.told_of(reader, target),`,
    replacement: `'mayRead', true,`,
    test: {
      file: rights,
      name: "steered into another's run it is told what comes from then on, also by its link, when it is sent again, and in every dialect",
    },
  },
  {
    name: 'link-of-a-steered-run-opens-all-of-it',
    breaks: 'A86',
    file: 'lib/api/events.ts',
    text: `return after === undefined ? asked : Math.max(after, asked ?? 0)`,
    replacement: `return asked`,
    build: true,
    test: {
      file: rights,
      name: "steered into another's run it is told what comes from then on, also by its link, when it is sent again, and in every dialect",
    },
  },
  {
    name: 'state-takes-a-key-that-the-store-refuses',
    breaks: 'I4',
    file: 'lib/engine/tool-writes.ts',
    text: `        checkKey(key)
`,
    replacement: '',
    test: {
      file: 'tests/store/tool-writes.test.ts',
      name: 'a key that the store takes for none is the error of its call, and the run goes on',
    },
  },
  {
    name: 'hook-writes-into-the-outcome',
    breaks: 'I4',
    file: 'lib/engine/hooks.ts',
    text: `output: structuredClone(result.output) }`,
    replacement: `output: result.output }`,
    test: hooks,
  },
  {
    name: 'hook-makes-a-call-free',
    breaks: 'I9',
    file: 'lib/engine/model-hooks.ts',
    text: `usage: { ...usage },`,
    replacement: `usage,`,
    test: hooks,
  },
  {
    name: 'tool-writes-into-the-metadata-of-others',
    breaks: 'I2',
    file: 'lib/engine/run-tool.ts',
    text: `metadata: structuredClone(opened.metadata),`,
    replacement: `metadata: opened.metadata,`,
    test: hooks,
  },
  {
    name: 'deep-array-is-stored',
    breaks: 'I5',
    file: 'lib/models/tools.ts',
    text: `fault === notAnObject && !tooDeep(call.input)`,
    replacement: `fault === notAnObject`,
    test: {
      file: 'lib/models/tools.test.ts',
      name: 'what is no object is told as it came, as far as it may be stored: an array that is nested too deep is not',
    },
  },
  {
    name: 'function-is-asked-for-its-json',
    breaks: 'I4',
    file: 'lib/core/plain.ts',
    text: `  if (typeof value === 'function' || typeof value === 'symbol') return undefined
`,
    replacement: '',
    test: {
      file: 'lib/core/plain.test.ts',
      name: 'functions and symbols are left out also where something else must be told in its place',
    },
  },
  {
    name: 'page-ends-at-its-rows-only',
    breaks: 'A3',
    file: 'lib/api/listing.ts',
    text: `> mostBytes && index > 0)`,
    replacement: `< 0 && index > 0)`,
    test: { file: 'lib/api/listing.test.ts', name: 'a page ends at 4,000,000 bytes too, with one row at least' },
  },
  {
    name: 'row-larger-than-a-page-ends-the-list',
    breaks: 'A3',
    file: 'lib/api/listing.ts',
    text: `> mostBytes && index > 0)`,
    replacement: `> mostBytes)`,
    test: { file: 'lib/api/listing.test.ts', name: 'a page ends at 4,000,000 bytes too, with one row at least' },
  },
  {
    name: 'queue-is-told-whole',
    breaks: 'A3',
    file: 'supabase/migrations/0008_agents_and_pages.sql',
    text: `sum(i.bytes::bigint) over turn <= most or`,
    replacement: `true or`,
    test: queue,
  },
  {
    name: 'queue-begins-again-on-each-page',
    breaks: 'A3',
    file: 'supabase/migrations/0008_agents_and_pages.sql',
    text: `y.place > coalesce((p ->> 'queuedAfter')::bigint, 0)`,
    replacement: `y.place > 0`,
    test: queue,
  },
  {
    name: 'queued-message-larger-than-a-page-ends-the-list',
    breaks: 'A3',
    file: 'supabase/migrations/0008_agents_and_pages.sql',
    text: ` or (row_number() over turn = 1 and (cardinality(page.seqs) = 0 or p ->> 'before' is not null)) as fits`,
    replacement: ` as fits`,
    test: queue,
  },
  {
    name: 'user-makes-agents-without-end',
    breaks: 'A86',
    file: 'supabase/migrations/0004_open.sql',
    text: `coalesce(baton.template_refusal(p, p -> 'settings'), baton.agents_refusal(p))`,
    replacement: `baton.template_refusal(p, p -> 'settings')`,
    test: {
      file: 'tests/access/users.test.ts',
      name: 'a user has no more agents than may be: the one more is refused by every road, what is there goes on, and a deletion makes room',
    },
  },
  {
    name: 'queue-cursor-forgets-its-place',
    breaks: 'A3',
    file: 'lib/api/conversation.ts',
    text: `const place = queuedAt ?? queuedAfter`,
    replacement: `const place = queuedAt ?? (queuedAfter === undefined ? queuedAfter : undefined)`,
    build: true,
    test: queue,
  },
  {
    name: 'code-of-before-an-upgrade-loses-the-queue',
    breaks: 'A3',
    file: 'supabase/migrations/0008_agents_and_pages.sql',
    text: `room bigint := coalesce((p ->> 'queue')::bigint, 9000000000000000000);`,
    replacement: `room bigint := coalesce((p ->> 'queue')::bigint, 0);`,
    test: queue,
  },
]
