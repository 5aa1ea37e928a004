import type { Mutation } from '#scripts/mutations/mutation'

const budgets = 'tests/store/budget-edges.test.ts'
const edges = 'tests/store/run-edges.test.ts'
const races = 'tests/store/switch-races.test.ts'
const approvals = 'tests/approvals/edges.test.ts'
const presets = 'tests/presets/authority.test.ts'
const late = 'tests/store/engine-late.test.ts'
const broken = 'invariant 9: a stream that broke off costs what was set aside for it, and its watchers are told to drop what they have'
const failures = 'lib/live/live.failure.test.ts'
const migration = (name: string): string => `supabase/migrations/${name}.sql`

/** Faults that no test noticed, or only slow ones, when a third reader planted what was in no list; each has its test since. No build is needed. */
export const foundLaterMutations: readonly Mutation[] = [
  {
    name: 'turn-told-by-age',
    breaks: 'I11',
    file: migration('0008_agents_and_pages'),
    text: `(i.mode = 'enqueue', i.position) <= (j.mode = 'enqueue', j.position)`,
    replacement: `i.position <= j.position`,
    test: {
      file: edges,
      name: 'a queued run is told its turn in the order in which the queue goes: an interrupting message stands before those that wait longer',
    },
  },
  {
    name: 'run-of-a-repaired-message-sorts-last-for-ever',
    breaks: 'I7',
    file: migration('0029_repair'),
    text: `set run_id = 'run_' || lpad(to_hex(ceil(extract(epoch from i.created_at) * 1000)::bigint), 12, '0') || '7'\n      || substr(replace(gen_random_uuid()::text, '-', ''), 14) where`,
    replacement: `set run_id = 'run_f' || substr(replace(gen_random_uuid()::text, '-', ''), 2) where`,
    test: { file: 'tests/repair/work.test.ts', name: 'inbox_of_ended_run: the message gets a run of its own' },
  },
  {
    name: 'repeated-interrupt-tells-nobody',
    breaks: 'I3 I10',
    file: migration('0004_open'),
    text: `p ->> 'onBusy' = 'interrupt' and (w.r).state = 'queued' and baton.lease_live(w.a)`,
    replacement: `false`,
    test: {
      file: 'tests/store/open.test.ts',
      name: 'interrupt takes the agent from a run without a lease at once, and asks one with a lease',
    },
  },
  {
    name: 'late-steered-message-loses-its-metadata',
    breaks: 'I11',
    file: migration('0003_ends'),
    text: `'queued', m.limits, m.metadata, m.webhook, (w.a)`,
    replacement: `'queued', m.limits, '{}', m.webhook, (w.a)`,
    test: { file: edges, name: 'a message that came too late to steer becomes a run with what it brought' },
  },
  {
    name: 'cancel-takes-a-kill-away',
    breaks: 'I10',
    file: migration('0003_ends'),
    text: `or kind <> 'interrupted' and (w.r).stop_requested <> 'killed' then`,
    replacement: `or kind <> 'interrupted' then`,
    test: {
      file: races,
      name: 'invariant 10: a kill that was lifted before its executor looked stays one, also where somebody cancels the run then',
    },
  },
  {
    name: 'locked-agent-escapes-a-kill',
    breaks: 'I10 A76',
    file: migration('0027_switching'),
    text: `elsif not t.skipped and t.round_at`,
    replacement: `elsif t.round_at`,
    test: { file: races, name: 'invariant 10: an agent that was locked when the last round of a kill came by is ended in the next one' },
  },
  {
    name: 'given-up-run-waits-first',
    breaks: 'I12',
    file: migration('0005_claim'),
    text: `  if (w.r).crashes > (p ->> 'maxStepCrashes')::integer then wait_ms := 0; end if;\n`,
    replacement: ``,
    test: {
      file: edges,
      name: 'invariant 12: a run that is given up is given up at once, also where fewer crashes are borne than there are pauses',
    },
  },
  {
    name: 'missing-template-told-at-each-look',
    breaks: 'I8',
    file: migration('0005_claim'),
    text: `if (w.r).wait_kind is distinct from 'template' then`,
    replacement: `if true then`,
    test: { file: edges, name: 'a run that waits for its template says so once, however often somebody looks' },
  },
  {
    name: 'claim-leaves-results-outside',
    breaks: 'I5',
    file: migration('0005_claim'),
    text: `  w := baton.enter_results(w);\n`,
    replacement: ``,
    test: {
      file: approvals,
      name: 'invariant 5: what was decided while an executor held the agent that died then stands in the history of the next one',
    },
  },
  {
    name: 'result-for-a-call-of-another-tenant',
    breaks: 'A86',
    file: migration('0023_decisions'),
    text: `a.tenant_id = p ->> 'tenant' and baton.may_see(p, a.agent_uid, a.owner_id)) for update;`,
    replacement: `baton.may_see(p, a.agent_uid, a.owner_id)) for update;`,
    test: { file: approvals, name: 'a user answers the outside calls of their own agents alone, and a tenant those of its own' },
  },
  {
    name: 'no-sweep-after-the-clock-was-put-back',
    breaks: 'I7',
    file: migration('0007_sweep'),
    text: `\n    or since > baton.clock() + interval '1 second';`,
    replacement: `;`,
    test: {
      file: 'tests/store/sweep.test.ts',
      name: 'a sweep that was noted in the future stops no other: the clock may have been put back',
    },
  },
  {
    name: 'retry-forgets-the-webhook',
    breaks: 'I11',
    file: migration('0005_claim'),
    text: `    old.metadata, old.webhook,`,
    replacement: `    old.metadata, null,`,
    test: {
      file: presets,
      name: 'a retry has the lowered limits, the webhook, the metadata and the trace of the run that it goes on from',
    },
  },
  {
    name: 'retry-leaves-its-trace',
    breaks: 'I11',
    file: migration('0005_claim'),
    text: `old.opening_seq, old.traceparent);`,
    replacement: `old.opening_seq, null);`,
    test: {
      file: presets,
      name: 'a retry has the lowered limits, the webhook, the metadata and the trace of the run that it goes on from',
    },
  },
  {
    name: 'retry-forgets-lowered-limits',
    breaks: 'I9 A77',
    file: migration('0005_claim'),
    text: `least(l.value::numeric, ((w.a).settings -> 'limits' ->> l.key)::numeric)`,
    replacement: `((w.a).settings -> 'limits' ->> l.key)::numeric`,
    test: {
      file: presets,
      name: 'a retry has the lowered limits, the webhook, the metadata and the trace of the run that it goes on from',
    },
  },
  {
    name: 'repeated-commit-grants-what-was-refused',
    breaks: 'I3 I9',
    file: migration('0006_commit'),
    text: `    update baton.agents a set last_answer = (w.a).last_answer where a.agent_uid = (w.a).agent_uid;\n`,
    replacement: ``,
    test: { file: budgets, name: 'invariants 3 and 9: a commit whose next call found no room says so again when its reply was lost' },
  },
  {
    name: 'died-attempt-leaves-no-trace',
    breaks: 'I11',
    file: migration('0014_webhooks'),
    text: `case when d.attempts > 0 and d.attempts is distinct from`,
    replacement: `case when false and d.attempts is distinct from`,
    test: { file: 'tests/webhooks/queue.test.ts', name: 'an attempt whose process died stands in the log, and its outcome counts no more' },
  },
  {
    name: 'waiting-run-of-a-user-takes-no-place',
    breaks: 'A12',
    file: migration('0015_limits'),
    text: `r.owner_id = (w.a).owner_id and r.state in ('running', 'waiting')`,
    replacement: `r.owner_id = (w.a).owner_id and r.state in ('running')`,
    test: {
      file: 'tests/store/limits.test.ts',
      name: 'a run of a user that waits for a hand-over keeps its place among those of the user',
    },
  },
  {
    name: 'failed-write-leaves-a-hole',
    breaks: 'I8',
    file: 'lib/live/forward.ts',
    text: `    if (!outcome.ok) for (const { agentUid } of taken) lose(outgoing(agentUid))\n`,
    replacement: ``,
    test: {
      file: failures,
      name: 'frames that a writer could not write: the text is told again, though its readers have missed nothing else',
    },
  },
  {
    name: 'text-told-again-takes-what-waits-before-its-commit-away',
    breaks: 'I8',
    file: 'lib/live/forward.ts',
    text: `index < tail || !covers(frame, waiting)`,
    replacement: `index < 0 || !covers(frame, waiting)`,
    test: {
      file: 'lib/live/live.test.ts',
      name: 'a text that is told again just after its commit leaves what waits before it in its place',
    },
  },
  {
    name: 'watchers-are-forgotten-after-half-a-minute',
    breaks: 'I8',
    file: 'lib/live/follow.ts',
    text: `agent.join || agent.renewAt <= now)`,
    replacement: `agent.join)`,
    test: { file: failures, name: 'who goes on watching says so again, long before the executor would forget it' },
  },
  {
    name: 'timers-outlive-their-stream',
    breaks: 'A16',
    file: 'lib/http/sse.ts',
    text: `    for (const timer of timers) clearTimeout(timer)\n`,
    replacement: ``,
    test: { file: 'lib/http/sse.test.ts', name: 'no timer outlives its stream: a process that has served many beats for none of them' },
  },
  {
    name: 'answer-of-a-receiver-is-kept-with-its-secrets',
    breaks: 'A81',
    file: 'lib/jobs/deliver-webhook.ts',
    text: `redact(result.responseSnippet)`,
    replacement: `result.responseSnippet`,
    test: {
      file: 'lib/jobs/deliver-webhook.test.ts',
      name: 'what goes out and what comes back is stored and sent without the secrets in it',
    },
  },
  {
    name: 'broken-stream-is-free',
    breaks: 'I9',
    file: 'lib/engine/model-failure.ts',
    text: `return error.unsent || (error.status ?? 0) >= 400 ||`,
    replacement: `return error.status !== 200 ||`,
    test: { file: late, name: broken },
  },
  {
    name: 'broken-stream-stays-on-the-screen',
    breaks: 'I2',
    file: 'lib/engine/model-step.ts',
    text: `  } catch (error) {\n    stream.reset()\n    if (session`,
    replacement: `  } catch (error) {\n    if (session`,
    test: { file: late, name: broken },
  },
  {
    name: 'what-may-have-happened-is-repeated-by-default',
    breaks: 'I4',
    file: 'lib/engine/permission.ts',
    text: `kind === 'unknown_outcome' ? 'deny' : (approvalDefault ?? 'deny')`,
    replacement: `(approvalDefault ?? 'deny')`,
    test: { file: late, name: 'nobody repeats by default what may have happened, also where the template allows what nobody decides' },
  },
  {
    name: 'end-does-not-wait-for-tools-at-work',
    breaks: 'I5',
    file: 'lib/engine/settle.ts',
    text: `return running > 0 ? {} : { end }`,
    replacement: `return running > 99 ? {} : { end }`,
    test: { file: late, name: 'invariant 5: a run whose time is over ends when the tools at work have ended, with what they did' },
  },
  {
    name: 'call-never-made-is-booked',
    breaks: 'I9',
    file: 'lib/engine/settle.ts',
    text: `[...settle, open]`,
    replacement: `settle`,
    test: { file: 'tests/store/edges.test.ts', name: 'A77: the model is not asked when the authority has ended while a hook was asked' },
  },
]
