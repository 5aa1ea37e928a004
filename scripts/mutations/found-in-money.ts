import type { Mutation } from '#scripts/mutations/mutation'

const tools = 'tests/store/budget-tools.test.ts'
const presets = 'tests/presets/authority.test.ts'
const migration = (name: string): string => `supabase/migrations/${name}.sql`

/**
 * Faults of money and places that a reader of the SQL found in it: what is set or made anew while something of the past may still change;
 * and those by which one caller sees or uses up what is for others. No build is needed.
 */
export const foundInMoneyMutations: readonly Mutation[] = [
  {
    name: 'new-limit-keeps-an-estimate',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `(v.state in ('reserved', 'estimated') or`,
    replacement: `(v.state = 'reserved' or`,
    test: {
      file: 'tests/store/budgets.test.ts',
      name: 'invariant 9: a late settlement reaches the limit that was set while its estimate stood',
    },
  },
  {
    name: 'new-limit-keeps-a-call-that-never-ran',
    breaks: 'I9',
    file: migration('0022_budget_pages'),
    text: `or v.model like 'tool:%' and exists (`,
    replacement: `or false and exists (`,
    test: { file: tools, name: 'invariant 9: a call that never ran is given back to the limits, too, that were set while it was at work' },
  },
  {
    name: 'refund-goes-to-the-limits-of-its-start',
    breaks: 'I9',
    file: migration('0025_tool_costs'),
    text: `keys := coalesce((select v.charges from baton.reservations v where v.id = c.charges ->> 'reservation'), array(`,
    replacement: `keys := coalesce(null, array(`,
    test: { file: tools, name: 'invariant 9: a call that never ran is given back to the limits, too, that were set while it was at work' },
  },
  {
    name: 'refund-looks-before-it-locks',
    breaks: 'I9',
    file: migration('0025_tool_costs'),
    text: `    lock table baton.reservations in row exclusive mode;\n    keys :=`,
    replacement: `    keys :=`,
    test: { file: tools, name: 'invariant 9: a call is given back to a limit that was being set when its outcome came' },
  },
  {
    name: 'interrupting-a-paused-agent-takes-no-place',
    breaks: 'A12',
    file: migration('0015_limits'),
    text: `busy <> 'interrupt' or not exists (select from baton.runs r where r.run_id = (w.a).active_run and r.state = 'awaiting_approval')`,
    replacement: `true`,
    test: {
      file: 'tests/store/limits.test.ts',
      name: 'a message that interrupts a paused agent needs a place: what awaits an approval has none to leave',
    },
  },
  {
    name: 'name-made-anew-begins-at-nothing',
    breaks: 'I9',
    file: migration('0016_overrides'),
    text: `if spent then perform baton.rebuild_counters(`,
    replacement: `if false then perform baton.rebuild_counters(`,
    test: {
      file: presets,
      name: 'invariant 9: the total of an agent that is made anew counts what its name has spent, and nothing drifts',
    },
  },
  {
    name: 'name-made-anew-beside-a-settlement',
    breaks: 'I9',
    file: migration('0016_overrides'),
    text: `    if spent then lock table baton.reservations in share row exclusive mode; end if;\n`,
    replacement: ``,
    test: { file: presets, name: 'invariant 9: a settlement that is under way while its name is made anew counts once' },
  },
  {
    name: 'picture-by-its-word',
    breaks: 'I9',
    file: 'lib/core/window.ts',
    text: `if (part.type !== 'image' && part.type !== 'file') return null`,
    replacement: `if (part.type !== 'image' && part.type !== 'file') return JSON.stringify(part).includes('"type":"image"') ? pictureTokens : null`,
    test: {
      file: 'lib/models/create-models.test.ts',
      name: 'text is counted by its bytes whatever it says it is: only a picture of a user costs what pictures cost',
    },
  },
  {
    name: 'data-url-by-its-neighbour',
    breaks: 'I9',
    file: 'lib/core/window.ts',
    text: `(!begins.startsWith('data:') || begins.startsWith('data:image/'))`,
    replacement: `!begins.startsWith('data:none')`,
    test: {
      file: 'lib/models/create-models.test.ts',
      name: 'text is counted by its bytes whatever it says it is: only a picture of a user costs what pictures cost',
    },
  },
  {
    name: 'act-reads',
    breaks: 'A86',
    file: migration('0010_callers'),
    text: `return p -> 'rights' ? 'agents:read';`,
    replacement: `return true;`,
    test: {
      file: 'tests/access/rights.test.ts',
      name: 'a stop, a change and a second making tell which it is and where it stands, and nothing of what was said',
    },
  },
  {
    name: 'webhook-to-whom-may-not-read',
    breaks: 'A86',
    file: migration('0008_agents_and_pages'),
    text: `if p ? 'webhook' and not baton.may_read(p) then`,
    replacement: `if false then`,
    test: { file: 'tests/access/rights.test.ts', name: 'it cannot have the outputs sent to itself' },
  },
  {
    name: 'range-before-the-first-year',
    breaks: 'A35',
    file: 'lib/core/instant.ts',
    text: `Math.max(first, Date.parse(at) - ms)`,
    replacement: `Date.parse(at) - ms`,
    test: { file: 'lib/core/instant.test.ts', name: 'a default beginning lies in the years that the database knows' },
  },
  {
    name: 'links-share-one-caller',
    breaks: 'A64',
    file: 'lib/limiter/settings.ts',
    text: '`stream:${credential.stream.agentUid}`',
    replacement: `'stream'`,
    test: {
      file: 'lib/limiter/settings.test.ts',
      name: 'a key is asked for once, its tenant with it; users and operators need no question about who they are',
    },
  },
  {
    name: 'link-without-a-rate',
    breaks: 'A64',
    file: 'lib/core/rate.ts',
    text: `if (kind === 'stream') {`,
    replacement: `if (kind === 'none') {`,
    test: {
      file: 'lib/core/rate.test.ts',
      name: 'all who have links to the events of one agent share 600 requests a minute, apart from those of another',
    },
  },
  {
    name: 'streams-of-one-for-all',
    breaks: 'A64',
    file: 'lib/http/sse.ts',
    text: `if (other === rateKey) open += 1`,
    replacement: `if (other === null) open += 1`,
    test: {
      file: 'lib/http/sse.test.ts',
      name: 'one caller has a share of the streams: a link or a user 100, a key 1,000; what is closed makes room',
    },
  },
]
