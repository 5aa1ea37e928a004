import type { Mutation } from '#scripts/mutations/mutation'

const atOnce = 'tests/engine/at-once.test.ts'

/** Faults of single endpoints: some that nothing noticed, because the sweeper of local mode comes every two seconds or no test looked, and some beside them that are caught. */
export const foundAtRequestsMutations: readonly Mutation[] = [
  {
    name: 'decision-waits-for-the-sweeper',
    breaks: 'I7',
    file: 'lib/api/approvals.ts',
    text: `  services.dispatch(answer.outbox)
  tellWatchers`,
    replacement: `  tellWatchers`,
    test: { file: atOnce, name: 'a decision, and the end of a run that waited for one' },
    build: true,
  },
  {
    name: 'retry-waits-for-the-sweeper',
    breaks: 'I7',
    file: 'lib/api/runs.ts',
    text: `    services.dispatch(answer.outbox)
    const headers`,
    replacement: `    const headers`,
    test: { file: atOnce, name: 'a retry, of one run and of many' },
    build: true,
  },
  {
    name: 'raised-limit-waits-for-the-sweeper',
    breaks: 'I7',
    file: 'lib/api/budgets.ts',
    text: `    services.dispatch(answer.outbox)
    if (answer.asleep) background(wakeRest(services, authority, params.scope))`,
    replacement: `    if (answer.asleep) background(wakeRest(services, authority, params.scope))`,
    test: { file: atOnce, name: 'room in a budget that runs wait for, by a higher limit and by none' },
    build: true,
  },
  {
    name: 'test-of-a-webhook-waits-for-the-sweeper',
    breaks: 'I7',
    file: 'lib/api/webhooks.ts',
    text: `    services.dispatch(answer.outbox)
    const { eventId`,
    replacement: `    const { eventId`,
    test: { file: atOnce, name: 'a test of a webhook, and a delivery that is repeated' },
    build: true,
  },
  {
    name: 'process-that-ends-is-ready',
    breaks: 'A52',
    file: 'lib/api/health.ts',
    text: ` && !services.ending()`,
    replacement: '',
    test: { file: 'lib/api/health.test.ts', name: 'a process that ends is not ready, so that nothing more is sent to it' },
  },
  {
    name: 'export-tells-secrets-of-reasons',
    breaks: 'A81',
    file: 'lib/api/export.ts',
    text: `line.type === 'audit' ? redact(line) : line`,
    replacement: `line`,
    test: { file: 'lib/api/export.test.ts', name: 'what somebody wrote as a reason leaves without its secrets, as in the audit log' },
  },
  {
    name: 'cursor-of-the-other-order-is-taken',
    breaks: 'A35',
    file: 'lib/api/cursor.ts',
    text: `!text.startsWith(head) || !keys`,
    replacement: `!keys`,
    test: { file: 'lib/api/cursor.test.ts', name: 'a cursor is good for its own list in its own order, and for keys of that list' },
  },
  {
    name: 'budget-of-a-period-is-that-of-all',
    breaks: 'A60',
    file: 'lib/api/budgets.ts',
    text: `getBudget(authorityOf(services, caller), { scope, ...(query.period && { period: query.period }) })`,
    replacement: `getBudget(authorityOf(services, caller), { scope })`,
    test: {
      file: 'tests/budgets/agents.test.ts',
      name: 'a scope with more colons, encoded or not, is one budget; each period has a row; DELETE removes them',
    },
    build: true,
  },
  {
    name: 'response-queues-behind-the-one-it-follows',
    breaks: 'A35',
    file: 'lib/api/responses.ts',
    text: `      ...(target.previous === null ? {} : { onBusy: 'reject' as const }),
`,
    replacement: '',
    test: {
      file: 'tests/responses/create.test.ts',
      name: 'who follows a response that is still made is told that the conversation is busy',
    },
    build: true,
  },
  {
    name: 'previous-response-and-conversation-are-both-taken',
    breaks: 'A35',
    file: 'lib/api/responses.ts',
    text: `if (previousId != null && conversation != null)`,
    replacement: `if (previousId != null && conversation === previousId)`,
    test: {
      file: 'tests/responses/create.test.ts',
      name: 'a conversation has the name that the caller gave it, and a response in it says which came before',
    },
    build: true,
  },
  {
    name: 'metrics-token-is-the-operator',
    breaks: 'A86',
    file: 'lib/http/caller.ts',
    text: `if (access === 'monitoring' && checks.isMetricsToken(credential))`,
    replacement: `if (checks.isMetricsToken(credential))`,
    test: {
      file: 'tests/watch/health.test.ts',
      name: 'metrics are for operators and the token: a tenant that is not the deployment’s own is refused',
    },
    build: true,
  },
  {
    name: 'removed-period-takes-all-limits-with-it',
    breaks: 'I9',
    file: 'lib/api/budgets.ts',
    text: `      scope,
      ...(query.period && { period: query.period }),
`,
    replacement: `      scope,
`,
    test: {
      file: 'tests/budgets/agents.test.ts',
      name: 'a scope with more colons, encoded or not, is one budget; each period has a row; DELETE removes them',
    },
    build: true,
  },
  {
    name: 'webhook-is-changed-into-a-private-address',
    breaks: 'A35',
    file: 'lib/api/webhooks.ts',
    text: `url: await checkedAddress(services, caller, 'webhook.update', params.id, body.url)`,
    replacement: `url: body.url`,
    test: { file: 'tests/webhooks/administration.test.ts', name: 'bad input: %s' },
    build: true,
  },
  {
    name: 'rotated-webhook-secret-ends-at-once',
    breaks: 'A35',
    file: 'lib/api/webhooks.ts',
    text: `(body?.overlapSeconds ?? day) * 1_000`,
    replacement: `(body?.overlapSeconds ?? 0) * 1_000`,
    test: {
      file: 'tests/webhooks/administration.test.ts',
      name: 'registered, read, listed, changed, rotated, deleted: the secret is shown when it is made and never again',
    },
    build: true,
  },
  {
    name: 'text-of-a-deleted-agent-stays-in-redis',
    breaks: 'A7',
    file: 'lib/api/agents.ts',
    text: `    background(forgetAgents(services, [answer.agentUid]))
`,
    replacement: '',
    test: {
      file: 'tests/acceptance/life-cycle.test.ts',
      name: 'A7: deleting an agent leaves nothing of it but the ledger and the audit log, and a late continuation ends as a no-op',
    },
    build: true,
  },
  {
    name: 'always-is-taken-for-an-unknown-outcome',
    breaks: 'A35',
    file: 'lib/api/approvals.ts',
    text: `always === true && approval.kind === 'unknown_outcome'`,
    replacement: `always === true && approval.kind === undefined`,
    test: { file: 'lib/api/call-result.test.ts', name: 'a decision: no secret in its note, no "always" about what may have happened' },
  },
]
