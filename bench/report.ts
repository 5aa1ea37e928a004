import { comparedReport } from '#bench/report-peers'
import type { Results } from '#bench/results'
import { short, table } from '#bench/stats'

const ms = (value: number): string => short(value)

/** The document of one measurement: what was measured, on what, what limits each figure, how to repeat it. */
export function reportOf(results: Results): string {
  return `${[
    head(results),
    goals(results),
    requests(results),
    far(results),
    counted(results),
    ...(results.peers === null ? [] : [comparedReport(results.peers)]),
    besides(results),
    cold(results),
    limits(),
  ]
    .join('\n\n')
    .trim()}\n`
}

function head({ date, machine, commit, minutes, peers, quick }: Results): string {
  return `# Benchmarks

Written by \`npm run bench -- --peers\` (bench/main.ts), ${date}, commit ${commit}, ${short(minutes)} minutes. Numbers of one machine: look at ratios, trips, bytes and WAL first; times
are yours only when you have measured them.${quick === true ? ' **This was a quick run to try the script, on a busy machine: its times mean nothing.**' : ''}

- Machine: ${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB, ${machine.system}, Node ${machine.node}, ${machine.postgres} with fsync on. Load before the start: ${short(machine.busy)}.
- Everything runs on this machine and shares its cores: callers, server, gateway, Postgres, Redis, executor${peers === null ? '' : ', peers'}. The network costs nothing here; in production each trip
  adds one way there and back, which is why trips are counted.
- The model is scripted and answers at once: all that is shown is overhead.
- Kinds that are compared are measured by turns, a few of each in every round. p50 and p95 are of all rounds.
- Repeat: \`npm ci && npm run bench -- --peers\` (Linux, nothing else running; it builds first). Without \`--peers\` nothing is installed or written. \`node bench/profile.ts\` says where the
  time of a turn goes.`
}

function goals(results: Results): string {
  const at = (kind: string, callers: number) => results.times.find((row) => row.kind === kind && row.callers === callers)
  const ratio = (callers: number, floor: string): string => {
    const turn = at('turn without tools', callers)?.ms.p50 ?? Number.NaN
    return short(turn / (at(floor, callers)?.ms.p50 ?? Number.NaN))
  }
  const apart = results.distances.filter(({ callers, rttMs }) => callers === 1 && rttMs > 0)
  const main = results.imports.find(({ route }) => route === '/api/agents/[id]/messages')
  const accept = at('accept (respond-async)', 64)
  const trips = (turn: string): string => [...new Set(results.counts.filter((row) => row.turn === turn).map((row) => row.trips))].join(', ')
  const sent = results.counts.filter((row) => row.turn === 'without tools').map((row) => row.sentKb)
  return `## The goals

${table(
  ['what', 'goal', 'measured'],
  [
    [
      'turn without tools, against the floor on the same road (p50, 1 / 16 / 64 callers)',
      '1.5',
      [1, 16, 64].map((callers) => ratio(callers, 'floor, over Supabase')).join(' / '),
    ],
    [
      `the same at 1 caller, where each trip takes ${apart.map(({ rttMs }) => rttMs).join(' / ')} ms`,
      '1.5',
      apart.map(({ turn, floor }) => short(turn.p50 / floor.p50)).join(' / '),
    ],
    ['the same against a direct driver', '', [1, 16, 64].map((callers) => ratio(callers, 'floor, direct driver')).join(' / ')],
    ['accept, p95 at 64 callers', '100 ms', `${ms(accept?.ms.p95 ?? Number.NaN)} ms`],
    [
      'import of the main route, bundled, cold',
      '150 ms',
      `${ms(main?.ms ?? Number.NaN)} ms (${ms(main?.cpuMs ?? Number.NaN)} ms of processor)`,
    ],
    ['trips of a turn without tools / with one tool', '2 / 4', `${trips('without tools')} / ${trips('one tool')}`],
    ['bytes sent per turn, 0 to 5,000 messages', 'flat', `${short(Math.min(...sent))} to ${short(Math.max(...sent))} KB`],
    [
      'local stack ready',
      '5 s',
      `${short(results.stack.againMs / 1_000)} s (in an empty folder ${short(results.stack.emptyMs / 1_000)} s)`,
    ],
  ],
)}

The floor is a Next route of its own (bench/floor) that does one SELECT and one INSERT on the same Postgres: over \`pg\`, and over supabase-js and the local Supabase gateway, which is the road
that Baton takes. It keeps one row and promises nothing.`
}

function requests({ times }: Results): string {
  const rows = times.map((row) => {
    const floor = times.find((one) => one.kind === 'floor, over Supabase' && one.callers === row.callers)
    const { app, gateway, postgres } = row.cpu
    return [
      String(row.callers),
      row.kind,
      ms(row.ms.p50),
      ms(row.ms.p95),
      short(row.ms.p50 / (floor?.ms.p50 ?? Number.NaN)),
      row.kind.startsWith('accept') ? '' : short(row.perSecond),
      `${short(app)} + ${short(gateway)} + ${short(postgres)}`,
      short(1_000 / (app + gateway + postgres)),
      short(1_000 / app),
    ]
  })
  return `## Requests

![Milliseconds of a request by number of callers](benchmarks-callers.svg)

${table(
  [
    'callers',
    'request',
    'p50 ms',
    'p95 ms',
    'times the floor',
    'a second',
    'processor ms: app + gateway + Postgres',
    'a second per core',
    "per core of the app's server",
  ],
  rows,
)}

- Each caller has an agent of its own; all agents belong to one tenant. Accept makes a new agent each time, and its processor time includes the run in the background, which is waited for before
  the next kind begins.
- *A second per core* is a thousand divided by the processor time of one request: what a core carries that does nothing else and never waits. It hardly changes with other load.
- Limits: at 1 caller the fsync of each commit and the trips; at 16 and 64 the two cores, which callers and Postgres share.`
}

function far({ distances }: Results): string {
  return `## With a network between

Servers on one side, Supabase's API and Redis on the other, and two roads between them that hold back what is said: so many milliseconds there and back, for Baton and for the floor alike (bench/road.ts).

${table(
  ['callers', 'ms a trip', 'floor p50', 'turn p50', 'times the floor', 'turn with one tool p50', 'times the floor'],
  distances.map(({ callers, rttMs, floor, turn, tool }) => [
    String(callers),
    String(rttMs),
    ms(floor.p50),
    ms(turn.p50),
    short(turn.p50 / floor.p50),
    ms(tool.p50),
    short(tool.p50 / floor.p50),
  ]),
)}

A turn waits for two trips one after the other, as the floor does: what goes to Redis goes beside them.`
}

function counted({ counts, histories }: Results): string {
  return `## What a turn sends and writes

${table(
  ['turn', 'earlier messages', 'trips', 'sent KB', 'received KB', 'WAL KB', 'p50 ms', 'p95 ms'],
  counts.map((row) => {
    const time = row.turn === 'without tools' ? histories.find(({ messages }) => messages === row.messages)?.ms : undefined
    return [
      row.turn,
      row.messages.toLocaleString('en-US'),
      String(row.trips),
      short(row.sentKb),
      short(row.receivedKb),
      short(row.walKb),
      time === undefined ? '' : ms(time.p50),
      time === undefined ? '' : ms(time.p95),
    ]
  }),
)}

Medians of turns over HTTP, one after the other; messages of 1 KB. Trips and bodies are counted by a proxy between server and Supabase (times are not taken through it), WAL by
\`pg_current_wal_insert_lsn\`. What is sent does not grow; what is received is the window, at most 200 messages, of which 100 are filled here. Not counted as trips of a turn: outbox marks, heartbeats,
sweeps, metrics.`
}

function besides({ handOff, fanOut, memory }: Results): string {
  return `## Beside the turn

${table(
  ['what', 'p50', 'p95', 'how'],
  [
    [
      'hand-off gap',
      `${ms(handOff.p50)} ms`,
      `${ms(handOff.p95)} ms`,
      `${handOff.n} runs: from the row that the last commit of a slice wrote to the first model call of the next slice, through outbox, executor and \`/api/inngest\``,
    ],
    [
      `event to the last of ${fanOut.watchers.toLocaleString('en-US')} watchers`,
      `${ms(fanOut.lastMs.p50)} ms`,
      `${ms(fanOut.lastMs.p95)} ms`,
      `${fanOut.events} events of one run, watched over SSE in the process that runs it: from the row to the slowest watcher; the watchers' own process shares the cores`,
    ],
    [
      `memory of ${fanOut.watchers.toLocaleString('en-US')} watchers`,
      `${short(fanOut.watchedMb - fanOut.idleMb)} MB`,
      '',
      `resident memory of the server, ${short(fanOut.idleMb)} MB before`,
    ],
    [
      'memory of an active slice',
      `${short(memory.kbPerSlice)} KB`,
      '',
      `${memory.slices} runs at once, each waiting in a tool: ${short(memory.idleMb)} MB before, ${short(memory.busyMb)} MB with them; garbage that was not collected yet is in it`,
    ],
  ],
)}

The hand-off is limited by the executor (in production Inngest's own queue comes on top, not measured), the watchers by one process writing to every socket.`
}

function cold({ imports, stack }: Results): string {
  const main = new Set(['/api/agents/[id]/messages', '/api/runs/[id]/events', '/api/inngest', '/api/health/live', '/api/console/session'])
  const shown = imports.filter(({ route }, at) => at < 3 || main.has(route) || at === imports.length - 1)
  return `## Cold starts

${table(
  ['route', 'ms', 'processor ms'],
  shown.map((row) => [`\`${row.route}\``, ms(row.ms), ms(row.cpuMs)]),
)}

The import of a bundled route (from the production build) with all that it imports, in a fresh process, after Next's own runtime; the main routes as the median of nine. ${imports.length} routes; the dearest, the main ones and the
cheapest are shown. The local stack (Postgres, Supabase, Redis, executor, built server) answers after ${short(stack.emptyMs / 1_000)} s in an empty folder, where it makes and migrates a cluster, and after
${short(stack.againMs / 1_000)} s in one that it knows.`
}

function limits(): string {
  return `## What these numbers are not

- Supabase's own PostgREST and pooler, Upstash, Inngest and Vercel were not measured: no account. The gateway here is a Node process with a fast road for Baton's functions (local/supabase/rpc.ts).
- In local mode the SQL clock adds the offset that tests move (local/database.ts); production reads the machine's clock.
- Baton's figures are with its guarantees on: lease, intents before effects, events, audit, budgets, metrics. The floor has none of them, the peers have some.
- One machine, one run of the script. docs/benchmarks.json holds the raw numbers of this page; earlier ones are in its history.`
}
