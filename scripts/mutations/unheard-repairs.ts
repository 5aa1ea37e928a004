import type { Mutation } from '#scripts/mutations/mutation'

const file = 'supabase/migrations/0029_repair.sql'
const repair = (file: string, name: string): Mutation['test'] => ({ file: `tests/repair/${file}.test.ts`, name })
const owner = repair(
  'history',
  'what is made anew for an agent of a user is the user’s to see, and an event stands at the time of the one before it',
)
const nothingLeft = repair(
  'history',
  'message_corrupted and doubled_result: results of which nothing is left give way to a note, for a tool message without one is none',
)
const stays = repair('edges', 'open_call_without_run: what a call has come to stays')
const whose = repair('edges', 'a repair tells the audit who asked for it, and by which request')

/** Faults of the repairs that no test of theirs noticed when somebody read them for it; each has its test since. No build is needed. */
export const unheardRepairsMutations: readonly Mutation[] = [
  {
    name: 'woken-run-waits-on',
    breaks: 'I7',
    file,
    text: `  w.r.wait_kind := null;\n  w.r.due_at := baton.clock();\n  w.a.state := 'working';\n  return`,
    replacement: `  w.r.due_at := baton.clock();\n  w.a.state := 'working';\n  return`,
    test: repair('work', 'run_stuck: neither a lease that is over nor a wait without an end holds a run'),
  },
  {
    name: 'freed-agent-keeps-its-lease',
    breaks: 'I2',
    file,
    text: `    w := baton.release(w);\n    w.a.active_run := null;`,
    replacement: `    w.a.active_run := null;`,
    test: repair('work', 'idle_agent_marked: an agent without a run has no lease, and no queue that nobody takes'),
  },
  {
    name: 'cancelled-approval-is-not-told',
    breaks: 'A35',
    file,
    text: `      w := baton.append_event(w, 'control', 'approval_decided', jsonb_build_object('approvalId', v.id, 'callId', v.call_id, 'tool', v.tool, 'decision', null,\n        'state', 'cancelled', 'decidedBy', null, 'note', v.note));\n`,
    replacement: ``,
    test: repair('edges', 'a call that waits for nobody holds no run, and nobody is asked for it'),
  },
  {
    name: 'denied-call-has-no-end',
    breaks: 'A19',
    file,
    text: `      w := baton.ended_calls_events(w, jsonb_build_array(jsonb_build_object('callId', call)));\n      if`,
    replacement: `      if`,
    test: repair('edges', 'approval_missing: an approval that somebody has decided asks nobody any more, and the end of the call is told'),
  },
  {
    name: 'webhook-that-waits-is-dropped',
    breaks: 'I7',
    file,
    text: `x.kind = 'webhook' and not exists (select from baton.webhook_deliveries v\n        where v.id = x.data ->> 'deliveryId' and v.state = 'pending') then`,
    replacement: `x.kind = 'webhook' then`,
    test: repair('work', 'outbox_stuck: a row that was not sent for 15 minutes is handed out again'),
  },
  {
    name: 'repaired-cost-is-written-over',
    breaks: 'I9',
    file,
    text: `      select r into w.r from baton.runs r where r.run_id = active.run_id;\n`,
    replacement: ``,
    test: repair('money', 'run_money_differs: of a run that goes on, too, and while the ledger is kept'),
  },
  {
    name: 'moved-history-leaves-the-run-behind',
    breaks: 'I5',
    file,
    text: `    if (w.r).opening_seq >= place then w.r.opening_seq := (w.r).opening_seq + 1; end if;\n`,
    replacement: ``,
    test: repair('edges', 'a message that is put back moves the window with those behind it'),
  },
  {
    name: 'put-back-for-nobody',
    breaks: 'A86',
    file,
    text: `values ((w.a).agent_uid, place, (w.a).tenant_id, (w.a).owner_id, run,`,
    replacement: `values ((w.a).agent_uid, place, (w.a).tenant_id, null, run,`,
    test: owner,
  },
  {
    name: 'event-put-back-for-nobody',
    breaks: 'A86',
    file,
    text: `n, (w.a).tenant_id, (w.a).owner_id, 'monitor', 'repaired'`,
    replacement: `n, (w.a).tenant_id, null, 'monitor', 'repaired'`,
    test: owner,
  },
  {
    name: 'event-put-back-as-of-now',
    breaks: 'I8',
    file,
    text: `coalesce((select e.at from baton.events e where e.agent_uid = (w.a).agent_uid and e.seq < (d ->> 'from')::bigint order by e.seq desc limit 1), baton.clock())`,
    replacement: `baton.clock()`,
    test: owner,
  },
  {
    name: 'put-back-without-its-run',
    breaks: 'I5',
    file,
    text: `(w.a).owner_id, run, role, kind, content, octet`,
    replacement: `(w.a).owner_id, null, role, kind, content, octet`,
    test: repair('history', 'dangling_call: a lost tool message is made again from the records, in its place'),
  },
  {
    name: 'note-that-is-no-gap',
    breaks: 'I5',
    file,
    text: `kind = case when m.role = replace_message.role then m.kind else 'gap' end,`,
    replacement: `kind = m.kind,`,
    test: nothingLeft,
  },
  {
    name: 'note-as-a-tool-message',
    breaks: 'I5',
    file,
    text: `case when d ->> 'role' = 'tool' and parts is null then 'user' else d ->> 'role' end,\n      coalesce(parts, to_json('[This`,
    replacement: `d ->> 'role',\n      coalesce(parts, to_json('[This`,
    test: nothingLeft,
  },
  {
    name: 'ended-retry-stays-in-the-queue',
    breaks: 'I7',
    file,
    text: `    delete from baton.inbox i where i.agent_uid = (w.a).agent_uid and i.position = (f -> 'details' ->> 'position')::bigint and i.kind = 'retry';\n`,
    replacement: ``,
    test: repair('edges', 'inbox_of_ended_run: a retry that has ended is taken from the queue, for it has no message of its own'),
  },
  {
    name: 'sealed-though-it-is-done',
    breaks: 'I5',
    file,
    text: `case when baton.is_final_call(t.state) then t.state else 'sealed' end`,
    replacement: `'sealed'`,
    test: stays,
  },
  {
    name: 'outcome-forgotten',
    breaks: 'I5',
    file,
    text: `output = coalesce(t.output, json_build_object('type', 'error-text', 'value', case when t.attempts`,
    replacement: `output = coalesce(null::json, json_build_object('type', 'error-text', 'value', case when t.attempts`,
    test: stays,
  },
  {
    name: 'repair-without-its-request',
    breaks: 'A81',
    file,
    text: `'actor', actor, 'requestId', request));`,
    replacement: `'actor', actor));`,
    test: whose,
  },
  {
    name: 'repair-by-whoever-ran-it',
    breaks: 'A81',
    file,
    text: `'actor', actor, 'requestId', request));`,
    replacement: `'requestId', request));`,
    test: whose,
  },
  {
    name: 'fsck-of-one-tenant-counts-those-of-all',
    breaks: 'A86',
    file: 'supabase/migrations/0028_consistency.sql',
    text: `and t.id = coalesce(p ->> 'tenant', t.id) union all`,
    replacement: `union all`,
    test: {
      file: 'tests/repair/money.test.ts',
      name: 'budget_drift: counters are counted again from the ledger, also one that the ledger knows nothing of',
    },
  },
]
