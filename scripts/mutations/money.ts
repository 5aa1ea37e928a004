import type { Mutation } from '#scripts/mutations/mutation'

const budgets = 'tests/store/budgets.test.ts'
const budgetRaces = 'tests/store/budget-races.test.ts'
const parted = { file: budgetRaces, name: 'invariant 9: of a counter with parts %s waits' }
const migration = (name: string): string => `supabase/migrations/${name}.sql`

/** Faults in what is spent and told: budgets and webhooks; all in SQL. */
export const moneyMutations: readonly Mutation[] = [
  {
    name: 'reservation-not-released',
    breaks: 'I9',
    file: migration('0021_budget_booking'),
    text: `  w.r.reserved_micros := (w.r).reserved_micros - case when was_estimated then 0 else v.micros end;`,
    replacement: ``,
    test: {
      file: 'tests/store/work.test.ts',
      name: 'invariant 9: an estimated settlement without a cost books what the database reserved',
    },
  },
  {
    name: 'reservation-stays-in-the-counters',
    breaks: 'I9',
    file: migration('0021_budget_booking'),
    text: `case when was_estimated then 0 else -v.micros end,\n    used`,
    replacement: `0,\n    used`,
    test: { file: budgets, name: 'invariant 9: what is reserved, settled and refused stands in every budget that applies' },
  },
  {
    name: 'take-over-books-nothing',
    breaks: 'I9',
    file: migration('0005_claim'),
    text: `  w := baton.book_estimates(w);\n  w := baton.release(w);`,
    replacement: `  w := baton.release(w);`,
    test: { file: budgets, name: 'invariant 9: a dead epoch is booked as estimated, and its late settlement replaces the estimate' },
  },
  {
    name: 'settled-twice',
    breaks: 'I9',
    file: migration('0021_budget_booking'),
    text: `  if not found or v.state = 'settled' then return w; end if;`,
    replacement: `  if not found then return w; end if;`,
    test: { file: budgets, name: 'invariant 9: a dead epoch is booked as estimated, and its late settlement replaces the estimate' },
  },
  {
    name: 'estimate-not-replaced',
    breaks: 'I9',
    file: migration('0021_budget_booking'),
    text: `  if not found or v.state = 'settled' then return w; end if;`,
    replacement: `  if not found or v.state <> 'reserved' then return w; end if;`,
    test: { file: budgets, name: 'invariant 9: a dead epoch is booked as estimated, and its late settlement replaces the estimate' },
  },
  {
    name: 'cost-cut-to-its-reservation',
    breaks: 'I9',
    file: migration('0021_budget_booking'),
    text: `  cost := coalesce((s ->> 'costMicros')::bigint, v.micros);`,
    replacement: `  cost := least(coalesce((s ->> 'costMicros')::bigint, v.micros), v.micros);`,
    test: { file: budgets, name: 'a real cost above its reservation is booked in full, told, and stops what comes after' },
  },
  {
    name: 'parts-of-a-counter-not-locked',
    breaks: 'I9 A60',
    file: migration('0011_budgets'),
    text: `  perform from baton.budget_parts p where p.key = of_key order by p.part for update;`,
    replacement: `  perform from baton.budget_parts p where p.key = of_key order by p.part;`,
    test: parted,
  },
  {
    name: 'no-eighth-of-a-shared-limit-left-free',
    breaks: 'I9 A60',
    file: migration('0021_budget_booking'),
    text: `case when shared then most / 8 else 0 end`,
    replacement: `0`,
    test: parted,
  },
  {
    name: 'counter-not-asked-for-room',
    breaks: 'I9 A60',
    file: migration('0021_budget_booking'),
    text: ` and used + greatest(more, 0) + free <= most`,
    replacement: ``,
    test: parted,
  },
  {
    name: 'limit-set-without-waiting-for-reservations',
    breaks: 'I9',
    file: migration('0011_budgets'),
    text: `  lock table baton.reservations in row exclusive mode;`,
    replacement: ``,
    test: { file: budgetRaces, name: 'invariant 9: a limit that is set beside an open reservation counts it' },
  },
  {
    name: 'zero-is-no-limit',
    breaks: 'I9 A65',
    file: migration('0011_budgets'),
    text: `  if reason is null and micros > 0 and micros > room then`,
    replacement: `  if reason is null and micros > 0 and micros > nullif(room, 0) then`,
    test: { file: budgets, name: 'A65: a limit of zero allows nothing, and a call of no cost all the same' },
  },
  {
    name: 'limit-per-call-ignored',
    breaks: 'A61',
    file: migration('0011_budgets'),
    text: `  if micros > b.max_per_call_micros then`,
    replacement: `  if false then`,
    test: { file: budgets, name: 'A61: a call above what one call may cost is refused hard, before anything' },
  },
  {
    name: 'refused-reservation-counts-as-a-call',
    breaks: 'I9',
    file: migration('0021_budget_booking'),
    text: `    delete from baton.reservations x where x.id = v.id;`,
    replacement: ``,
    test: { file: budgetRaces, name: 'A60: of 24 that reserve at once under one limit of 10, ten are granted (%s)' },
  },
  {
    name: 'delivery-recorded-twice',
    breaks: 'I11',
    file: migration('0014_webhooks'),
    text: `    and coalesce((x.log -> -1 ->> 'attempt')::integer, 0) < (p ->> 'attempt')::integer`,
    replacement: ``,
    test: { file: 'tests/webhooks/queue.test.ts', name: 'an outcome is recorded once, by the worker of that attempt, in its environment' },
  },
  {
    name: 'each-receiver-gets-an-id-of-its-own',
    breaks: 'I11',
    file: migration('0014_webhooks'),
    text: `    d.endpoint_id := e.id;\n    d.url := e.url;`,
    replacement: `    d.event_id := baton.new_id('evt');\n    d.endpoint_id := e.id;\n    d.url := e.url;`,
    test: {
      file: 'tests/webhooks/endpoints.test.ts',
      name: 'one event under one id reaches the message’s address and each endpoint whose filter matches, in the same transaction',
    },
  },
]
