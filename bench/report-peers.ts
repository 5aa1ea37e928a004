import { sizes, type Compared } from '#bench/compare'
import type { Results } from '#bench/results'
import { short, table, type Summary } from '#bench/stats'

/** What stands in a row of the comparison; `turn` is the p50 and p95 by size. */
interface Row {
  label: string
  ms: readonly Summary[]
  trips: string
  walKb: readonly number[] | null
  cold: string
}

function rowOf({ label, turns, coldMs, rssMb }: Compared): Row {
  return {
    label,
    ms: turns.map((turn) => turn.ms),
    trips: [...new Set(turns.map((turn) => turn.trips))].join(' to '),
    walKb: turns.map((turn) => turn.walKb),
    cold: `${short(coldMs)} ms, ${short(rssMb)} MB`,
  }
}

/** Baton beside the peers: one turn with one tool call at four lengths of history. */
export function comparedReport({ compared, http, versions }: NonNullable<Results['peers']>): string {
  const rows: Row[] = compared.map(rowOf)
  rows.splice(2, 0, { label: 'Baton over HTTP: route, gateway, local stack', ms: http, trips: '4', walKb: null, cold: '' })
  const baton = compared.find(({ id }) => id === 'baton')
  const ratios = compared
    .filter(({ id }) => !['baton', 'rows'].includes(id))
    .map(({ label, turns }) => [
      label,
      ...turns.map((turn, at) => short(turn.ms.p50 / (baton?.turns[at]?.ms.p50 ?? Number.NaN))),
      short((turns.at(-1)?.walKb ?? Number.NaN) / (baton?.turns.at(-1)?.walKb ?? Number.NaN)),
    ])
  const heads = sizes.map((size) => size.toLocaleString('en-US'))
  const used = Object.entries(versions)
    .filter(([name]) => !name.startsWith('vega') && name !== 'zod')
    .map(([name, version]) => `${name} ${version}`)
  return `## Beside its peers

![Milliseconds of overhead of a turn by length of history](benchmarks-history.svg)

One turn with one tool call and a model that answers at once. Milliseconds of overhead, p50 (p95), after so many earlier messages of 1 KB:

${table(
  ['', ...heads, 'trips', `WAL KB at ${heads.join(' / ')}`, 'cold process to end of turn at 5,000, memory'],
  rows.map((row) => [
    row.label,
    ...row.ms.map(({ p50, p95 }) => `${short(p50)} (${short(p95)})`),
    row.trips,
    row.walKb === null ? 'as above' : row.walKb.map((kilobytes) => short(kilobytes)).join(' / '),
    row.cold,
  ]),
)}

Times of Baton in process (p50; more than 1: the peer takes longer or writes more):

${table(['', ...heads, 'WAL at 5,000'], ratios)}

Processor time of a turn in ms, the process and Postgres (clock ticks of 10 ms, so only sums over all rounds say something):

${table(
  ['', ...heads],
  compared.map(({ label, cpu }) => [label, ...cpu.map(({ process, postgres }) => `${short(process)} + ${short(postgres)}`)]),
)}

What is compared with what:

- All stand in one process each, with a connection pool to the same Postgres, and take the same turn: a user's message, an answer that calls \`echo\`, its result, the answer "done". They are timed by turns. Trips
  are counted on the wire (how often the client speaks after the server), whatever the driver.
- **Baton in process** is its engine with its own loop and SQL functions over \`pg\`, without HTTP, Redis and Inngest: the shape of the peers. **Baton over HTTP** is the whole road: route, validation,
  supabase-js, gateway. Its keeping is the same.
- **LangGraph JS**: a StateGraph with ToolNode and PostgresSaver as documented, default durability (a step is written while the next one runs). It loads and writes the whole state at each super-step, so it grows with the history.
- **Mastra**: an Agent with Memory in PostgresStore at its defaults: it recalls the last 10 messages and saves at the end of the turn.
- **JSONB document**: the store of the KODE guide for serverless, rewritten in bench/peers/jsonb.ts: messages and tool records of an agent are one document each, read whole at the start and written whole at each step.
- **Floor**: a row for each message, the last 50 read at the start, a commit for each step. No lease, so two processes may run it at once; no events, budget, approvals, hand-off, audit.
- What a SIGKILL inside the tool leaves of the turn (tried once each, 21 November 2026, tool at once): Mastra nothing, not the user's message either; LangGraph nothing yet; the JSONB document the user's message and the
  call. Baton keeps both and goes on by itself (tests/crash).
- Peers cannot be asked for what they do not do: Baton's turn also takes a lease, reserves and settles money, writes ten events and three audit entries.
- Versions: ${used.join(', ')}. langsmith, which LangChain's core wants in a version that the registry used here did not have, is held at 0.10.5; tracing is off.`
}
