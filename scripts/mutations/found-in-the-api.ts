import type { Mutation } from '#scripts/mutations/mutation'

const session = 'tests/access/session.test.ts'
const rows = 'tests/chat/rows.test.ts'
const log = 'lib/api/responses-log.test.ts'

/** Faults in lib/api and lib/http that nothing noticed when they were planted for the first time, some because their tests stood in the conformance run alone. */
export const foundInTheApiMutations: readonly Mutation[] = [
  {
    name: 'monitor-of-a-foreign-name-is-the-operator',
    breaks: 'A86',
    file: 'lib/http/caller.ts',
    text: `  try {
    if (config.local) checkLoopback(request, config)
`,
    replacement: `  try {
`,
    test: { file: 'lib/http/caller.test.ts', name: 'who asks for the state of a local deployment by a foreign name or page is anybody' },
  },
  {
    name: 'monitors-are-counted',
    breaks: 'A64',
    file: 'lib/http/rate.ts',
    text: `endpoint.access === 'open' || endpoint.access === 'status'`,
    replacement: `endpoint.access === 'open'`,
    test: {
      file: 'lib/http/rate.test.ts',
      name: 'open endpoints and those of monitors are not counted, and an agent is only that of a message',
    },
  },
  {
    name: 'database-away-says-not-when-to-come-again',
    breaks: 'A51',
    file: 'lib/http/problem.ts',
    text: `retryable && (status === 429 || status === 503)`,
    replacement: `retryable && status === 429`,
    test: {
      file: 'lib/http/problem.test.ts',
      name: 'Retry-After is rounded up to seconds; retryable 429 and 503 always have one, others none',
    },
  },
  {
    name: 'right-that-is-missing-is-a-bad-request-for-openai',
    breaks: 'A35',
    file: 'lib/api/responses-error.ts',
    text: `  if (status === 403) return 'permission_error'
`,
    replacement: '',
    test: { file: 'lib/api/responses-error.test.ts', name: '%s is of the type %s' },
  },
  {
    name: 'answer-that-is-asked-for-again-stays-beside-the-question',
    breaks: 'A14',
    file: 'lib/api/chat-history.ts',
    text: `    if (kind === regenerateKind) supersede(shown)
    else
      shown.push({`,
    replacement: `    if (kind !== regenerateKind)
      shown.push({`,
    test: {
      file: 'lib/api/chat-history.test.ts',
      name: 'an answer that is asked for again and waits for its turn has taken the place of the one before it',
    },
  },
  {
    name: 'items-differ-by-who-saw-a-cut-text',
    breaks: 'A16',
    file: 'lib/api/responses-log.ts',
    text: `data['reason'] === 'hard_limit' || data['reason'] === 'shutdown'`,
    replacement: `data['reason'] === 'hard_limit'`,
    test: {
      file: log,
      name: 'a call that the end of its process cut short was given up: who saw its text and who did not count the same items',
    },
  },
  {
    name: 'cached-tokens-are-not-told',
    breaks: 'A60',
    file: 'lib/api/responses-object.ts',
    text: `cached_tokens: cacheReadTokens`,
    replacement: `cached_tokens: 0`,
    test: { file: log, name: 'tokens are told by their kind, and metadata as text whatever was given natively' },
  },
  {
    name: 'last-words-of-a-deleted-agent-stay-in-redis',
    breaks: 'A7',
    file: 'lib/api/forget.ts',
    text: `  await clock.sleep(lastWordsMs)
  await live.forget(agentUids)
`,
    replacement: '',
    test: { file: 'lib/api/forget.test.ts', name: 'what an executor wrote before it heard of the deletion is forgotten, too' },
  },
  {
    name: 'removed-limit-wakes-only-the-first-thousand',
    breaks: 'I7',
    file: 'lib/api/budgets.ts',
    text: `if (answer.asleep) background(wakeRest(services, authority, scope))`,
    replacement: '',
    test: {
      file: 'tests/store/budget-waits.test.ts',
      name: 'invariant 7: a changed limit wakes all runs that wait for room, however many',
    },
  },
  {
    name: 'kill-of-a-tenant-is-heard-at-the-next-heartbeat',
    breaks: 'I10',
    file: 'lib/api/kill.ts',
    text: `background(agentUid === null ? services.live.haltAll() : services.live.halt({ agentUid, runId: null }))`,
    replacement: `if (agentUid !== null) background(services.live.halt({ agentUid, runId: null }))`,
    test: {
      file: 'tests/kill/signal.test.ts',
      name: 'a kill %s reaches the executor in another process by a signal, long before its next heartbeat',
    },
    build: true,
  },
  {
    name: 'known-state-is-waited-on-to-the-end',
    breaks: 'A35',
    file: 'lib/api/runs.ts',
    text: `isEnd(read.run.state) || !matches(known,`,
    replacement: `isEnd(read.run.state) || matches('',`,
    test: { file: 'tests/surface/runs.test.ts', name: 'GET 200 to a known ETag as soon as the run has got on, though it still works' },
    build: true,
  },
  {
    name: 'rotated-key-ends-at-once-unless-said-otherwise',
    breaks: 'A86',
    file: 'lib/api/keys.ts',
    text: `overlapMs: body?.overlapMs ?? dayMs`,
    replacement: `overlapMs: body?.overlapMs ?? 0`,
    test: { file: 'tests/access/keys.test.ts', name: 'rotation: two are active for the overlap, then the new one alone' },
    build: true,
  },
  {
    name: 'new-name-of-a-key-keeps-its-secret',
    breaks: 'A81',
    file: 'lib/api/keys.ts',
    text: `{ name: services.redact(body.name) }`,
    replacement: `{ name: body.name }`,
    test: {
      file: 'tests/together/secrets.test.ts',
      name: 'secrets that are planted everywhere at once stay where the conversation is, and are in no event, audit, webhook or log',
    },
    build: true,
  },
  {
    name: 'two-permissions-that-differ-are-taken',
    breaks: 'A78',
    file: 'lib/api/overrides.ts',
    text: `canonicalJson(permission) !== canonicalJson(overrides.permission)`,
    replacement: `permission === overrides.permission`,
    test: {
      file: 'tests/presets/overrides.test.ts',
      name: 'what would widen, contradicts itself or names nothing is 400 and leaves nothing behind',
    },
    build: true,
  },
  {
    name: 'new-deployment-takes-no-retention',
    breaks: 'A35',
    file: 'lib/api/retention.ts',
    text: `    if (!answer.ok && answer.code === 'tenant_missing' && (await services.ensureTenant(String(answer['tenant'])))) answer = await set()
`,
    replacement: '',
    test: { file: 'tests/repair/first.test.ts', name: '%s %s may be the first thing that is asked of a new deployment' },
    build: true,
  },
  {
    name: 'chat-is-not-counted-as-messages',
    breaks: 'A64',
    file: 'lib/api/chat.ts',
    text: `  counts: 'message',
`,
    replacement: '',
    test: { file: 'tests/limits/callers.test.ts', name: 'a message counts against the limit of its caller in every dialect' },
    build: true,
  },
  {
    name: 'responses-are-not-counted-as-messages',
    breaks: 'A64',
    file: 'lib/api/responses.ts',
    text: `  counts: 'message',
`,
    replacement: '',
    test: { file: 'tests/limits/callers.test.ts', name: 'a message counts against the limit of its caller in every dialect' },
    build: true,
  },
  {
    name: 'stop-of-an-old-run-stops-the-new-one',
    breaks: 'I10',
    file: 'lib/api/chat.ts',
    text: `      { agent: params.id, ...(body?.runId === undefined ? {} : { runId: body.runId }) },`,
    replacement: `      { agent: params.id },`,
    test: { file: rows, name: 'stop of a run by its id leaves the one alone that runs since' },
    build: true,
  },
  {
    name: 'old-messages-stand-behind-the-new',
    breaks: 'A14',
    file: 'lib/api/chat-reads.ts',
    text: `rows.unshift(...answer.data)`,
    replacement: `rows.push(...answer.data)`,
    test: { file: rows, name: 'a history of more rows than are read at once stands in its order, each call with its outcome' },
    build: true,
  },
  {
    name: 'chat-hangs-for-the-other-result',
    breaks: 'A14',
    file: 'lib/api/chat.ts',
    text: `const paused = run.state === 'awaiting_approval' || run.wait?.kind === 'external'`,
    replacement: `const paused = run.state === 'awaiting_approval'`,
    test: { file: rows, name: 'one result of two that come from outside: the stream ends at once, for the run waits for the other' },
    build: true,
  },
  {
    name: 'other-sites-sign-in-and-out',
    breaks: 'A86',
    file: 'lib/api/session.ts',
    text: `  checkSameOrigin(request)
}`,
    replacement: `}`,
    test: { file: session, name: 'another site neither signs a browser in nor out, nor is it told of a session' },
    build: true,
  },
  {
    name: 'sign-out-without-the-word',
    breaks: 'A86',
    file: 'lib/api/session.ts',
    text: `    if (session !== null) checkSessionRequest(request, session)
`,
    replacement: '',
    test: { file: session, name: 'signing out takes the word, ends the session in this browser, and does no harm without one' },
    build: true,
  },
  {
    name: 'revoked-session-is-an-error-for-good',
    breaks: 'A86',
    file: 'lib/api/session.ts',
    text: `error.code === 'unauthorized') return null`,
    replacement: `error.code === 'forbidden') return null`,
    test: { file: session, name: 'a key that is revoked ends its sessions: the page is told to ask for another, and the cookie goes' },
    build: true,
  },
  {
    name: 'templates-are-told-to-everybody',
    breaks: 'A86',
    file: 'lib/api/session.ts',
    text: `given !== null || open ? templates.ids() : []`,
    replacement: `templates.ids()`,
    test: { file: session, name: 'a key becomes a cookie, and with it the caller is that key; what is not let in learns nothing' },
    build: true,
  },
]
