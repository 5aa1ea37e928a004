import type { Mutation } from '#scripts/mutations/mutation'

const migration = (name: string): string => `supabase/migrations/${name}.sql`

const seldom = (name: string): Mutation['test'] => ({ file: 'tests/store/engine-seldom.test.ts', name })
const atOnce = (name: string): Mutation['test'] => ({ file: 'tests/engine/at-once.test.ts', name })

/**
 * Faults that a program planted, and that no test had noticed: in the SQL line by line, in TypeScript wherever a condition, a statement, an operand or an
 * element can be left out or turned round, or where it saw that no test came by at all.
 */
export const foundByMachineMutations: readonly Mutation[] = [
  {
    name: 'inbox-without-the-end-of-its-range',
    breaks: 'A34',
    file: migration('0023_decisions'),
    text: `        and ($1 ->> 'to' is null or v.created_at < ($1 ->> 'to')::timestamptz)\n`,
    replacement: ``,
    test: {
      file: 'tests/approvals/edges.test.ts',
      name: 'each filter of the inbox leaves out what it should, and the end of a range is not in it',
    },
  },
  {
    name: 'first-cancelled-call-takes-all-approvals-of-its-run',
    breaks: 'A34',
    file: migration('0013_approvals'),
    text: `x.run_id = c.run_id and x.call_id = c.call_id and x.state = 'pending' returning * into v`,
    replacement: `x.run_id = c.run_id and x.state = 'pending' returning * into v`,
    test: {
      file: 'tests/approvals/edges.test.ts',
      name: 'a cancelled run that waited for several decisions cancels each for its own call',
    },
  },
  {
    name: 'usage-counts-what-was-given-back',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `filter (where v.state <> 'settled' or v.cost_micros > 0`,
    replacement: `filter (where v.state = 'settled' or v.cost_micros > 0`,
    test: {
      file: 'tests/store/budgets.test.ts',
      name: 'usage counts the calls that were made or may have been: one that is reserved, and none that was given back',
    },
  },
  {
    name: 'call-that-never-ran-is-given-back-twice',
    breaks: 'I9',
    file: migration('0025_tool_costs'),
    text: `    update baton.tool_calls t set charges = null where t.agent_uid = c.agent_uid and t.call_id = c.call_id;\n`,
    replacement: ``,
    test: {
      file: 'tests/store/budget-tools.test.ts',
      name: 'invariant 9: a call that never ran is given back to the limits, too, that were set while it was at work',
    },
  },
  {
    name: 'budget-without-a-sum-is-counted',
    breaks: 'A61',
    file: migration('0011_budgets'),
    text: `num_nonnulls(x.limit_micros, x.limit_tokens, x.limit_calls) > 0\n`,
    replacement: `num_nonnulls(x.limit_micros, x.limit_tokens, x.limit_calls) >= 0\n`,
    test: { file: 'tests/store/budgets.test.ts', name: 'A61: a call above what one call may cost is refused hard, before anything' },
  },
  {
    name: 'changed-template-is-not-brought-along',
    breaks: 'A48',
    file: 'lib/engine/open.ts',
    text: `      request.settings = templates.settings(changed)\n`,
    replacement: ``,
    test: seldom(
      'a message that names no template, to an agent whose template has changed since: it is taken once, and the new settings are its own',
    ),
  },
  {
    name: 'rate-lets-go-of-a-tool-at-work',
    breaks: 'A84',
    file: 'lib/engine/settle.ts',
    text: `    return running > 0 || decision.inHand.length > 0 ? {} : { wait: { kind: 'retry', ms: rate.resetInMs } }\n`,
    replacement: `    return { wait: { kind: 'retry', ms: rate.resetInMs } }\n`,
    test: seldom('a rate that is used up while a tool is at work: the others wait for the window, and what is at work is not let go'),
  },
  {
    name: 'call-that-was-cut-before-it-began-is-given-up',
    breaks: 'I6',
    file: 'lib/engine/run-tool.ts',
    text: `  if (cutBy(session.signal) !== null && call.effect !== 'once') return null\n`,
    replacement: ``,
    test: seldom(
      'invariant 6: a call that the hard limit cuts before it begins stays open where it may be repeated, and a once call is told as not done',
    ),
  },
  {
    name: 'once-call-cut-at-its-slice-asks-nobody',
    breaks: 'I4',
    file: 'lib/engine/run-tool.ts',
    text: `  if (cut !== null && asks(session, call)) return unknownOutcome(`,
    replacement: `  if (cut === null && asks(session, call)) return unknownOutcome(`,
    test: seldom("unknownOutcome 'pause': a once call that is cut at the limit of its slice is a person's to judge"),
  },
  {
    name: 'rest-of-a-wide-kill-waits-for-the-sweep',
    breaks: 'I10',
    file: 'lib/api/kill.ts',
    text: `    if (more) background(workOff(services))\n`,
    replacement: ``,
    test: atOnce('a $act of more agents than one transaction takes: the rest follows the answer'),
    build: true,
  },
  {
    name: 'rest-of-a-wide-lift-is-sent-on-by-nobody',
    breaks: 'I7',
    file: 'lib/api/kill.ts',
    text: `    services.dispatch(outbox)\n    if (!more) return\n`,
    replacement: `    void outbox\n    if (!more) return\n`,
    test: atOnce('a $act of more agents than one transaction takes: the rest follows the answer'),
    build: true,
  },
  {
    name: 'result-that-comes-too-late-wakes-nobody',
    breaks: 'I7',
    file: 'lib/api/call-result.ts',
    text: `    if (Array.isArray(outbox)) services.dispatch(outbox)\n`,
    replacement: `    void outbox\n`,
    test: atOnce('a result from outside that comes too late: the run goes on without it'),
    build: true,
  },
  {
    name: 'address-that-stands-alone-is-not-looked-at',
    breaks: 'A86',
    file: 'lib/webhooks/deliver.ts',
    text: `typeof address === 'string' ? [address] :`,
    replacement: `typeof address === 'string' ? [] :`,
    test: {
      file: 'lib/webhooks/deliver.test.ts',
      name: 'where Node asks for one address of a name, it is looked at as those of several are',
    },
  },
  {
    name: 'refused-alert-is-sent-for-ever',
    breaks: 'I11',
    file: 'lib/webhooks/alert.ts',
    text: `refused || (status`,
    replacement: `(status`,
    test: {
      file: 'lib/webhooks/alert.test.ts',
      name: 'an alert is sent again only where that may help: not after a refusal of ours or of theirs',
    },
  },
  {
    name: 'refused-callers-are-remembered-for-ever',
    breaks: 'A64',
    file: 'lib/limiter/refusals.ts',
    text: `      if (callers.size >= mostCallers) for (const oldest of callers.keys()) if (callers.delete(oldest)) break\n`,
    replacement: ``,
    test: {
      file: 'lib/limiter/refusals.test.ts',
      name: 'so many callers are remembered: one that a thousand others have pushed out is told as new',
    },
  },
  {
    name: 'limits-of-all-tenants-are-remembered-for-ever',
    breaks: 'A64',
    file: 'lib/limiter/settings.ts',
    text: `  if (map.size >= most) for (const oldest of map.keys()) if (map.delete(oldest)) break\n`,
    replacement: ``,
    test: {
      file: 'lib/limiter/settings.test.ts',
      name: 'so many tenants and keys are remembered: the one that was asked for longest ago is asked for again',
    },
  },
  {
    name: 'keys-that-are-none-are-the-callers-fault',
    breaks: 'A86',
    file: 'lib/access/users.ts',
    text: ` || code === 'ERR_JWKS_INVALID'`,
    replacement: ``,
    test: {
      file: 'lib/access/users.test.ts',
      name: 'keys that cannot be read are an outage and not the caller’s fault; they are asked for again later, not by every token',
    },
  },
  {
    name: 'corrupted-run-does-not-say-what-is-broken',
    breaks: 'I11',
    file: 'lib/engine/advance.ts',
    text: `{ state: 'failed', stopReason: 'corrupted_data', output: null, error }`,
    replacement: `{ state: 'failed', stopReason: 'corrupted_data', output: null, error: null }`,
    test: {
      file: 'tests/repair/operations.test.ts',
      name: 'a message that cannot be read quarantines its agent alone, by name, until it is repaired; then the run can be retried',
    },
    build: true,
  },
  {
    name: 'events-of-a-run-are-those-of-its-agent',
    breaks: 'A86',
    file: 'lib/api/events.ts',
    text: `    ...(runId === null ? {} : { runId }),\n`,
    replacement: ``,
    test: { file: 'tests/surface/runs.test.ts', name: 'the events of a run are its own; those of its agent are of all its runs' },
    build: true,
  },
  {
    name: 'erasure-that-stops-says-it-is-done',
    breaks: 'A7',
    file: 'lib/api/erase.ts',
    text: `json(202, { scope, deleted: false, agents, more: true }, { 'retry-after': '0' })`,
    replacement: `json(200, { scope, deleted: true, agents, more: false })`,
    test: { file: 'tests/repair/operations.test.ts', name: 'a user is exported and deleted; others are not touched' },
    build: true,
  },
]
