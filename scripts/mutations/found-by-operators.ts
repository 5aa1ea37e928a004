import type { Mutation } from '#scripts/mutations/mutation'

const backlog = 'tests/store/sweep-backlog.test.ts'
const sweeper = 'lib/jobs/sweep.test.ts'
const sweep = 'supabase/migrations/0007_sweep.sql'
const slower = 'what is sent and not claimed is sent ever less often, up to a bound; a claim that dies begins anew'
const newer = 'a row of a newer format is left to newer code, costs no event, and keeps nobody waiting'
const unsent = 'no second row while one is unsent, and none just after it was sent'
const pace = 'the clock sweeps when it is its time, whatever was swept beside requests; twice at once it does not'
const rounds = 'a sweep whose part was full says so and goes on at once, as long as nobody else has swept'
const queued = 'a sweep sends anew as many as may be on the way, and ten or so whatever is: a long queue at Inngest gets no longer by it'
const together = 'a kill that was made in SQL, and waits whose time is over, go round after round'

/** Faults of what runs unattended that somebody found who operated it for days: outages, backlogs, what nobody can take. Planted again. No build is needed. */
export const foundByOperatorsMutations: readonly Mutation[] = [
  {
    name: 'ten-runs-that-nobody-takes-keep-all-others',
    breaks: 'I7',
    file: sweep,
    text: `is not true\n        order by greatest(r.due_at, r.resend_at) limit most)`,
    replacement: `is not true\n        order by r.due_at limit most)`,
    test: { file: backlog, name: 'invariant 7: runs that nobody comes for go behind the others, and no other waits for them' },
  },
  {
    name: 'lost-run-is-sent-every-ten-seconds-for-ever',
    breaks: 'I7',
    file: sweep,
    text: `now_at + least(longest, resend * power(2, least(times + 1, 16)))`,
    replacement: `now_at + resend`,
    test: { file: backlog, name: slower },
  },
  {
    name: 'lost-run-is-sent-never-again-at-last',
    breaks: 'I7',
    file: sweep,
    text: `now_at + least(longest, resend * power(2, least(times + 1, 16)))`,
    replacement: `now_at + resend * power(2, least(times + 1, 16))`,
    test: { file: backlog, name: slower },
  },
  {
    name: 'claim-keeps-the-back-off',
    breaks: 'I7',
    file: 'supabase/migrations/0005_claim.sql',
    text: `  w.r.resends := 0;\n  w.r.resend_at := null;\n  crashed`,
    replacement: `  crashed`,
    test: { file: backlog, name: slower },
  },
  {
    name: 'new-continuation-keeps-the-back-off',
    breaks: 'I7',
    file: 'supabase/migrations/0002_work.sql',
    text: `  w.r.resends := 0;\n  w.r.resend_at := null;\n  return baton.write_outbox`,
    replacement: `  return baton.write_outbox`,
    test: {
      file: backlog,
      name: 'a new continuation begins anew, too: what comes of a message is not kept back by what was lost before it',
    },
  },
  {
    name: 'events-for-rows-that-this-build-cannot-read',
    breaks: 'I7',
    file: sweep,
    text: `if greatest((w.a).format, (w.r).format) > max_format then`,
    replacement: `if (w.a).format > max_format then`,
    test: { file: backlog, name: newer },
  },
  {
    name: 'second-row-beside-an-unsent-one',
    breaks: 'I7',
    file: sweep,
    text: `(o.sent_at is null or o.sent_at > now_at - resend)`,
    replacement: `o.sent_at > now_at - resend`,
    test: { file: backlog, name: unsent },
  },
  {
    name: 'second-row-right-after-the-first-was-sent',
    breaks: 'I7',
    file: sweep,
    text: `(o.sent_at is null or o.sent_at > now_at - resend)`,
    replacement: `o.sent_at is null`,
    test: { file: backlog, name: unsent },
  },
  {
    name: 'traffic-keeps-the-clock-from-sweeping',
    breaks: 'I7',
    file: sweep,
    text: `case when by_clock then coalesce(s.cron_swept_at, '-infinity') else s.last_at end`,
    replacement: `s.last_at`,
    test: { file: backlog, name: pace },
  },
  {
    name: 'two-drains-at-once',
    breaks: 'I7',
    file: sweep,
    text: `then s.last_at = (p ->> 'after')::timestamptz`,
    replacement: `then true`,
    test: { file: backlog, name: rounds },
  },
  {
    name: 'backlog-of-unsent-rows-waits-for-the-next-sweep',
    breaks: 'I7',
    file: sweep,
    text: `  more := jsonb_array_length(rows) >= most;`,
    replacement: `  more := false;`,
    test: { file: backlog, name: rounds },
  },
  {
    name: 'long-queue-is-made-longer',
    breaks: 'I7',
    file: sweep,
    text: `at_once - under_way)), `,
    replacement: `at_once)), `,
    test: { file: backlog, name: queued },
  },
  {
    name: 'stuck-runs-fill-what-may-be-on-the-way',
    breaks: 'I7',
    file: sweep,
    text: `r.resends between 1 and 3`,
    replacement: `r.resends > 0`,
    test: { file: backlog, name: 'what was sent anew again and again is stuck, and makes no room smaller' },
  },
  {
    name: 'kill-made-in-sql-goes-by-sweeps-alone',
    breaks: 'I10',
    file: sweep,
    text: ` or (switched ->> 'more')::boolean;`,
    replacement: `;`,
    test: { file: backlog, name: together },
  },
  {
    name: 'waits-that-are-over-go-by-sweeps-alone',
    breaks: 'I7',
    file: 'supabase/migrations/0013_approvals.sql',
    text: `    worked := worked + 1;\n`,
    replacement: ``,
    test: { file: backlog, name: together },
  },
  {
    name: 'full-round-is-the-last',
    breaks: 'I7',
    file: 'lib/jobs/sweep.ts',
    text: `if (refused || !round.more ||`,
    replacement: `if (rounds > 0 ||`,
    test: { file: sweeper, name: 'a backlog goes round after round, each of which follows the one before it' },
  },
  {
    name: 'sweep-goes-on-while-inngest-takes-nothing',
    breaks: 'I7',
    file: 'lib/jobs/sweep.ts',
    text: `const refused = fresh.length < round.outbox.length`,
    replacement: `const refused = fresh.length > round.outbox.length`,
    test: { file: sweeper, name: 'while Inngest takes nothing, a sweep tries once' },
  },
  {
    name: 'sweep-outlasts-its-function',
    breaks: 'I6',
    file: 'lib/jobs/sweep.ts',
    text: `config.maxDurationMs / 3 : besideForMs`,
    replacement: `config.maxDurationMs : config.maxDurationMs`,
    test: { file: sweeper, name: 'beside a request it takes two seconds, with the clock a third of its function' },
  },
  {
    name: 'what-was-laid-aside-goes-ten-a-sweep',
    breaks: 'I11',
    file: sweep,
    text: `  hooks := baton.sweep_deliveries(env, '-infinity', '-infinity', most);\n  more := more or jsonb_array_length(hooks) >= most;\n`,
    replacement: `  hooks := '[]';\n  if p ->> 'after' is null then hooks := baton.sweep_deliveries(env, '-infinity', '-infinity', least(most, (p -> 'resends' ->> 'least')::integer)); end if;\n`,
    test: {
      file: backlog,
      name: 'what waited for its endpoint goes round after round; what was sent before goes anew by as many as the sweep may, and in its pace',
    },
  },
  {
    name: 'what-is-stuck-keeps-what-was-lost-just-now',
    breaks: 'I7',
    file: sweep,
    text: `row_number() over (partition by s.stuck order by z.look_at) * (1 + 3 * s.stuck)`,
    replacement: `row_number() over (order by z.look_at)`,
    test: {
      file: backlog,
      name: 'however much is stuck, what its own tenant has lost just now is found; what is stuck has each fourth place',
    },
  },
  {
    name: 'each-second-tick-of-the-clock-sends-nothing-anew',
    breaks: 'I7',
    file: 'lib/jobs/sweep.ts',
    text: `Math.max(shareOfPeriod * config.sweepEveryMs,`,
    replacement: `Math.max(config.sweepEveryMs,`,
    test: {
      file: sweeper,
      name: 'what is sent and not taken is sent at least once a sweep period, also where the next tick comes a little early',
    },
  },
  {
    name: 'export-command-writes-secrets',
    breaks: 'A81',
    file: 'scripts/export.ts',
    text: `exportText(line, redact)`,
    replacement: `exportText(line, (kept) => kept)`,
    test: {
      file: 'tests/repair/operations.test.ts',
      name: 'an export holds everything of an agent, line by line, and nothing of a secret; then it is deleted completely',
    },
  },
  {
    name: 'page-that-is-shown-again-asks-twice',
    breaks: 'A14',
    file: 'app/console/_parts/rounds.ts',
    text: `isDone() || asking) return`,
    replacement: `isDone()) return`,
    test: {
      file: 'app/console/_parts/rounds.test.ts',
      name: 'a page that is hidden and shown while it asks does not ask twice as often from then on',
    },
  },
]
