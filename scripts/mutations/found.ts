import type { Mutation } from '#scripts/mutations/mutation'

const edges = 'tests/store/edges.test.ts'
const late = 'tests/store/engine-late.test.ts'
const migration = (name: string): string => `supabase/migrations/${name}.sql`

/** Faults that no test noticed when they were planted for the first time, by somebody who looked for such; each has its test since. */
export const foundMutations: readonly Mutation[] = [
  {
    name: 'settles-the-reservation-of-another-run',
    breaks: 'I9',
    file: migration('0021_budget_booking'),
    text: ` and x.run_id = (w.r).run_id for update;`,
    replacement: ` for update;`,
    test: { file: edges, name: 'invariant 9: a run settles its own reservations and no other' },
  },
  {
    name: 'older-code-claims-newer-rows',
    breaks: 'A48',
    file: migration('0005_claim'),
    text: `  if greatest((w.a).format, (w.r).format) > (p ->> 'maxFormat')::integer then return baton.refuse('format_newer'); end if;`,
    replacement: ``,
    test: { file: edges, name: 'a row that newer code has written is left to newer code, and nothing of it changes' },
  },
  {
    name: 'waits-past-its-authority',
    breaks: 'A77',
    file: migration('0006_commit'),
    text: `::numeric), (w.a).expires_at, (w.r).expires_at);`,
    replacement: `::numeric), (w.a).expires_at);`,
    test: { file: edges, name: 'A77: a run waits for a retry no longer than its authority lasts' },
  },
  {
    name: 'gate-opens-early',
    breaks: 'A54',
    file: migration('0006_commit'),
    text: `do update set until = greatest(baton.gates.until, excluded.until);`,
    replacement: `do update set until = excluded.until;`,
    test: { file: edges, name: 'a short 429 does not open a gate that a longer one has closed' },
  },
  {
    name: 'deadlock-not-repeated',
    breaks: 'I3',
    file: 'lib/store/rpc.ts',
    text: `repeatable.has(error.code) && attempt < 3`,
    replacement: `repeatable.has(error.code) && attempt < 0`,
    test: {
      file: edges,
      name: 'what Postgres refuses because of a deadlock is asked for again, and anything else that it refuses is not',
    },
  },
  {
    name: 'fence-counts-from-the-reply',
    breaks: 'I2',
    file: 'lib/engine/session.ts',
    text: `    guard.renewed(stamp)\n    takeFlags(answer.flags)`,
    replacement: `    guard.renewed(guard.stamp())\n    takeFlags(answer.flags)`,
    test: { file: late, name: 'invariant 2: a heartbeat counts from before it was sent: one whose reply took too long gives no lease' },
  },
  {
    name: 'zombie-tells-late-watchers',
    breaks: 'I2',
    file: 'lib/engine/deltas.ts',
    text: `    if (!session.guard.held()) return\n    for (const kind`,
    replacement: `    for (const kind`,
    test: { file: late, name: 'invariant 2: who begins to watch an executor whose lease is over is told nothing by it' },
  },
  {
    name: 'lost-lease-is-revived',
    breaks: 'I2',
    file: 'lib/engine/lease.ts',
    text: `      if (lost) return\n      since = stamp`,
    replacement: `      lost = false\n      since = stamp`,
    test: { file: 'lib/engine/lease.test.ts', name: 'invariant 2: a lease that is lost stays lost, whatever a late renewal says' },
  },
  {
    name: 'heartbeat-ignores-a-stop',
    breaks: 'I10',
    file: 'lib/engine/session.ts',
    text: `    if (flags.stop !== null && !stop.signal.aborted) stop.abort(new Stopped('flags'))`,
    replacement: ``,
    test: { file: late, name: 'invariants 9 and 10: a heartbeat tells of a stop, and the model call that it cuts off is booked in full' },
  },
  {
    name: 'cut-off-call-is-free',
    breaks: 'I9',
    file: 'lib/engine/settle.ts',
    text: `  const free = refused || !session.reservation.spent`,
    replacement: `  const free = true`,
    test: { file: late, name: 'invariants 9 and 10: a heartbeat tells of a stop, and the model call that it cuts off is booked in full' },
  },
  {
    name: 'failed-tool-keeps-its-values',
    breaks: 'I3',
    file: 'lib/engine/run-tool.ts',
    text: `  } catch (thrown) {\n    writing.end('drop')`,
    replacement: `  } catch (thrown) {\n    writing.end('keep')`,
    test: { file: late, name: 'what a tool has kept before it failed is not kept' },
  },
  {
    name: 'zero-is-counted',
    breaks: 'A64',
    file: 'lib/limiter/limiter.ts',
    text: `    if (limit.limit === 0) return {`,
    replacement: `    if (limit.limit < 0) return {`,
    test: { file: 'lib/limiter/limiter.test.ts', name: 'a refused count asks Redis for nothing but news, and zero allows nothing' },
  },
  {
    name: 'no-second-asking-after-a-gap',
    breaks: 'I8',
    file: 'lib/live/follow.ts',
    text: `      if (found === null) for (const agent of byAgent.values()) agent.join = true`,
    replacement: ``,
    test: {
      file: 'lib/live/live.failure.test.ts',
      name: 'frames that went while reads failed beside a subscription that stands: the text is asked for again',
    },
  },
  {
    name: 'text-outlives-its-agent',
    breaks: 'A7',
    file: 'lib/api/agents.ts',
    text: `    background(forgetAgents(services, [answer.agentUid]))`,
    replacement: `    background(services.live.halt({ agentUid: answer.agentUid, runId: null }))`,
    test: {
      file: 'tests/acceptance/life-cycle.test.ts',
      name: 'A7: deleting an agent leaves nothing of it but the ledger and the audit log, and a late continuation ends as a no-op',
    },
    build: true,
  },
  {
    name: 'claim-marks-what-was-due-before-its-lock',
    breaks: 'I7',
    file: migration('0005_claim'),
    text: `  now_at := baton.clock();`,
    replacement: `  now_at := pg_catalog.statement_timestamp();`,
    test: {
      file: 'tests/store/sweep.test.ts',
      name: 'invariant 7: a claim that waited for the commit before it marks the continuation that this commit has written',
    },
  },
  {
    name: 'a-reader-keeps-what-was-never-stored',
    breaks: 'I8',
    file: 'lib/api/reader.ts',
    text: `    return open ? [resetFrame(partial)] : []`,
    replacement: `    return []`,
    test: {
      file: 'tests/crash/explorer.test.ts',
      name: 'invariant 8: a reader who has seen a text that was never stored is told to drop it',
    },
  },
  {
    name: 'missing-counter-is-made-last',
    breaks: 'I9',
    file: 'supabase/migrations/0021_budget_booking.sql',
    text: `if found then perform baton.counted(w, b, true); else perform baton.lock_counter(d.key); end if;`,
    replacement: `perform baton.lock_counter(d.key);`,
    test: {
      file: 'tests/store/budget-races.test.ts',
      name: 'a counter that is made while it is waited for is waited for in its place, with none of the later ones in hand',
    },
  },
  {
    name: 'counter-without-its-parts',
    breaks: 'I9',
    file: 'supabase/migrations/0011_budgets.sql',
    text: `  select * into c from baton.budget_counters x where x.key = of_key;
  if not found then return c; end if;
  if baton.is_shared(c.scope) then
    perform from baton.budget_parts p where p.key = of_key order by p.part for update;`,
    replacement: `  perform from baton.budget_parts p where p.key = of_key order by p.part for update;
  if found then`,
    test: {
      file: 'tests/store/budget-races.test.ts',
      name: 'invariant 9: a counter that comes while it is looked for is waited for together with its parts',
    },
  },
  {
    name: 'entry-locked-before-the-ledger',
    breaks: 'I9',
    file: 'supabase/migrations/0021_budget_booking.sql',
    text: `  lock table baton.reservations in row exclusive mode; -- as in reserve: whoever sets`,
    replacement: `  -- as in reserve: whoever sets`,
    test: {
      file: 'tests/store/budget-races.test.ts',
      name: 'a settlement that waits for a new limit has none of the entries in hand that the limit must mark',
    },
  },
  {
    name: 'booked-on-the-next-day',
    breaks: 'I9',
    file: 'supabase/migrations/0001_tables.sql',
    text: `  return baton.clock() - (pg_catalog.clock_timestamp() - pg_catalog.now());`,
    replacement: `  return baton.clock();`,
    test: {
      file: 'tests/store/budget-races.test.ts',
      name: 'a call that is paid for while a day ends is charged to the counters that are locked for it, and stands in the ledger of that day',
    },
  },
]
