import type { Mutation } from '#scripts/mutations/mutation'

const agents = 'tests/surface/agents.test.ts'
const pages = 'supabase/migrations/0008_agents_and_pages.sql'

/** Faults that somebody found who called a running server; each has its test since. */
export const foundOverHttpMutations: readonly Mutation[] = [
  {
    name: 'time-of-the-year-0-reaches-the-database',
    breaks: 'A35',
    file: 'lib/core/instant.ts',
    text: `!text.startsWith('0000') && at >= first && `,
    replacement: ``,
    test: {
      file: 'lib/core/instant.test.ts',
      name: 'what the database refuses, or gives back as something else, is none, and the text says what to write',
    },
  },
  {
    name: 'conflicts-have-one-sentence',
    breaks: 'A35',
    file: 'lib/engine/open.ts',
    text: `causes[code]?.[String(details['reason'])]`,
    replacement: `causes[code]?.['']`,
    test: {
      file: 'lib/engine/open.test.ts',
      name: 'every cause of a conflict that SQL names has a sentence of its own, and docs/errors.md names it',
    },
  },
  {
    name: 'wait-is-claimed-that-was-not-kept',
    breaks: 'I6',
    file: 'lib/http/prefer.ts',
    text: `{ waitMs: 0, respondAsync, applied: 'respond-async' }`,
    replacement: `{ waitMs: waitAsked ?? 0, respondAsync, applied: \`respond-async, wait=\${waitAsked}\` }`,
    test: { file: 'lib/http/prefer.test.ts', name: 'who is answered at once has waited for nothing, and is not told so' },
  },
  {
    name: 'run-that-had-ended-was-stopped',
    breaks: 'I10',
    file: 'lib/api/runs.ts',
    text: `stopped: answer.run.state === 'cancelled'`,
    replacement: `stopped: !answer.halt`,
    test: { file: 'tests/engine/stop.test.ts', name: 'of an ended run changes nothing and says so; of an unknown one is 404' },
    build: true,
  },
  {
    name: 'queue-is-of-every-time',
    breaks: 'I1',
    file: pages,
    text: ` and baton.within(p, i.created_at)`,
    replacement: ``,
    test: {
      file: 'tests/surface/lists.test.ts',
      name: 'GET 200: the conversation in order, then what waits, without seq and as queued',
    },
  },
  {
    name: 'other-secret-is-the-same-webhook',
    breaks: 'A35',
    file: pages,
    text: `is distinct from coalesce(p -> 'agent' -> 'webhook' ->> 'mark', '')) then`,
    replacement: `is null) then`,
    test: {
      file: agents,
      name: 'POST with another secret of the webhook is 409, as the first would go on signing; after PATCH the new one is the same body',
    },
  },
  {
    name: 'metadata-of-other-types-is-not-found',
    breaks: 'A35',
    file: pages,
    text: `not exists (select from jsonb_each_text($1 -> 'metadata') f where a.metadata ->> f.key is distinct from f.value)`,
    replacement: `a.metadata @> ($1 -> 'metadata')`,
    test: { file: agents, name: 'GET 200 finds metadata by what JSON writes of it, numbers and booleans too' },
  },
  {
    name: 'repeat-makes-a-deleted-agent-anew',
    breaks: 'I1',
    file: 'supabase/migrations/0004_open.sql',
    text: `return baton.gone_refusal(p);`,
    replacement: `return null;`,
    test: {
      file: 'tests/store/open.test.ts',
      name: 'a repeat that waits while its agent is deleted makes none anew; a day later its key is free, and of what it said nothing is kept',
    },
  },
  {
    name: 'accepted-message-is-told-as-refused',
    breaks: 'I12',
    file: 'lib/api/wait.ts',
    build: true,
    text: `    if (error instanceof BatonError && error.code === 'database_unavailable') return null
`,
    replacement: '',
    test: {
      file: 'tests/acceptance/outage.test.ts',
      name: 'A51: callers whose messages were accepted before the database went away are told that, not that it is away',
    },
  },
  {
    name: 'connections-stay-open-at-the-end',
    breaks: 'A52',
    file: 'lib/http/handle.ts',
    build: true,
    text: `    if (services?.ending() === true) headers.set('connection', 'close')
`,
    replacement: '',
    test: {
      file: 'tests/shutdown/sigterm.test.ts',
      name: 'a server that nobody has asked anything, and one whose requests wait for others, end with 0 too, and at Ctrl-C',
    },
  },
  {
    name: 'ctrl-c-ends-in-no-order',
    breaks: 'A52',
    file: 'lib/system/shutdown.ts',
    build: true,
    text: `['SIGTERM', 'SIGINT'] as const`,
    replacement: `['SIGTERM'] as const`,
    test: {
      file: 'tests/shutdown/sigterm.test.ts',
      name: 'a server that nobody has asked anything, and one whose requests wait for others, end with 0 too, and at Ctrl-C',
    },
  },
  {
    name: 'messages-before-end-with-a-page',
    breaks: 'A8',
    file: 'lib/api/conversation.ts',
    build: true,
    text: `nextCursor: backwards ? cursorBefore(answer, limit) : `,
    replacement: `nextCursor: backwards ? null : `,
    test: { file: 'tests/surface/lists.test.ts', name: 'GET 200: the conversation in order, then what waits, without seq and as queued' },
  },
  {
    name: 'agent-of-anybody-with-the-key',
    breaks: 'A86',
    file: 'lib/api/agents.ts',
    build: true,
    text: '`${rateKey} ${key}`',
    replacement: 'key',
    test: { file: 'tests/access/keys.test.ts', name: 'two keys that make an agent without an id under one Idempotency-Key make one each' },
  },
]
