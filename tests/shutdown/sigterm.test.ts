import { spawn, type ChildProcess } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { poll } from '#local/poll'
import { portClaims } from '#local/ports'
import { nothingOfEnvFiles } from '#local/stack/plan'
import { startReceiver } from '#tests/watch/receiver'
import { script, startWorld, type World } from '#tests/world'

let world: World
const claims = portClaims()
const children: ChildProcess[] = []
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await world.close()
  claims.release()
})

/** A server of its own beside the stack's, on the same database: nobody starts it again. */
async function startServer(
  more: Record<string, string> = {},
): Promise<{ base: string; child: ChildProcess; pid: number; end: Promise<{ code: number | null; inTime: boolean }>; log: () => string }> {
  const [line] = await world.sql<{ pid: number }>('select 1 as pid')
  expect(line).toBeDefined()
  const port = await claims.take(0)
  const { supabaseUrl, redisUrl, inngestUrl } = world.stack.info
  const keys = await (await import('#local/keys')).localKeys(world.dataDir)
  const base = `http://127.0.0.1:${port}`
  const child = spawn(process.execPath, [join('local', 'parts', 'server.ts')], {
    env: {
      ...nothingOfEnvFiles(),
      PATH: process.env['PATH'],
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      NODE_ENV: 'production',
      NEXT_TELEMETRY_DISABLED: '1',
      SERVER_MODE: 'start',
      PORT: String(port),
      BATON_LOCAL: '1',
      BATON_LOCAL_SECRET: 'a-secret-of-this-test-only',
      BATON_ENV: 'local',
      BATON_DATA_DIR: world.dataDir,
      BATON_BASE_URL: base,
      BATON_ENCRYPTION_KEY: keys.encryptionKey,
      SUPABASE_URL: String(supabaseUrl),
      SUPABASE_SECRET_KEY: keys.secretKey,
      UPSTASH_REDIS_REST_URL: String(redisUrl),
      UPSTASH_REDIS_REST_TOKEN: keys.redisToken,
      INNGEST_DEV: String(inngestUrl),
      INNGEST_EVENT_KEY: keys.inngestEventKey,
      INNGEST_SIGNING_KEY: keys.inngestSigningKey,
      ...more,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.push(child)
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (text = (text + chunk.toString()).slice(-50_000)))
  const spawned = performance.now()
  let [asked, startMs] = [0, 0]
  // Ten seconds, and three for who sees it, that may stand still; where the start of a server alone takes longer than the second or two of a machine with room, everything does.
  const inTime = (): boolean => performance.now() - asked < 3_000 + 10_000 * Math.max(1, startMs / 2_000)
  const end = new Promise<{ code: number | null; inTime: boolean }>((resolve) =>
    child.once('exit', (code) => resolve({ code, inTime: inTime() })),
  )
  const kill = child.kill.bind(child)
  child.kill = (signal) => {
    asked = performance.now()
    return kill(signal)
  }
  const up = await poll(
    async () =>
      fetch(`${base}/api/health/live`).then(
        ({ ok }) => ok,
        () => false,
      ),
    { everyMs: 50, forMs: 60_000 },
  )
  startMs = performance.now() - spawned
  if (!up || child.pid === undefined) throw new Error(`the server does not answer: ${text}`)
  return { base, child, pid: child.pid, end, log: () => text }
}

const post = (base: string, agent: string, message: string, prefer: string): Promise<Response> =>
  fetch(`${base}/api/agents/${agent}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', prefer },
    body: JSON.stringify({ message, template: 'scripted' }),
  })

test('A52: SIGTERM with a running and an idle agent: exit 0 within 10 s, the run is finished elsewhere, streams break', async () => {
  const server = await startServer()
  expect((await post(server.base, 'idle', script({ text: 'rests' }), 'wait=20')).status).toBe(200)
  const gate = world.gate()
  const steps = Array.from({ length: 3 }, (_, n) => ({
    tools: [{ name: 'charge', input: { key: `a52-${n}`, cents: 1 } }],
    gate: gate.file,
  }))
  const running = post(server.base, 'runs', script(...steps, { text: 'finished' }), 'wait=25')
  const started = await poll(async () => (await world.effects()).some((effect) => effect.agentId === 'runs'), {
    everyMs: 50,
    forMs: 60_000,
  })
  expect(started).toBe(true)
  // A reader of the run, and one who waits for an agent that rests.
  const open = ['runs', 'idle'].map((agent) =>
    fetch(`${server.base}/api/agents/${agent}/events`, { headers: { accept: 'text/event-stream' } }),
  )
  const streams = (await Promise.all(open)).map((response) =>
    response.text().then(
      () => 'clean end',
      () => 'broken',
    ),
  )
  server.child.kill('SIGTERM')
  await expect.poll(() => server.log()).toContain('SIGTERM')
  await gate.open()
  expect(await server.end).toEqual({ code: 0, inTime: true })
  expect(await Promise.all(streams)).toEqual(['broken', 'broken'])
  const answer = await running
  expect(answer.headers.get('connection')).toBe('close')
  const reply = (await answer.json()) as { runId: string; status: string }
  expect(reply.status).toBe('processing')
  const run = await world.ended(reply.runId)
  expect(run).toMatchObject({ state: 'completed', output: 'finished', crashes: 0 })
  const effects = await world.effects({ runId: reply.runId })
  expect(new Set(effects.map(({ pid }) => pid)).size).toBe(2)
  for (const n of [0, 1, 2]) expect(effects.filter((effect) => effect.key === `a52-${n}`)).toHaveLength(1)
  expect((await world.agent('idle')).state).toBe('ready')
})

/** One connection on which requests are written as they come; `text` is everything that was answered on it. */
function connectionTo(base: string): { write: (head: string, body?: string) => void; text: () => string; closed: Promise<void> } {
  const { hostname, port, host } = new URL(base)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
  socket.on('error', () => undefined) // the server may cut it at its end
  return {
    write: (head, body = '') =>
      void socket.write(
        `${head}\r\nhost: ${host}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      ),
    text: () => text,
    closed: new Promise((resolve) => socket.once('close', () => resolve())),
  }
}

test('a step that takes longer than the grace is cut and handed over: exit 0 within 10 s, and it is repeated elsewhere', async () => {
  const server = await startServer()
  const [long, short] = [world.gate(), world.gate()]
  const tools = [{ name: 'wait', input: { ms: 0, gate: long.file } }]
  const reply = post(server.base, 'long', script({ tools }, { text: 'in the end' }), 'wait=40')
  const executing = async (): Promise<boolean> =>
    (await world.effects()).some((effect) => effect.agentId === 'long' && effect.kind === 'tool')
  expect(await poll(executing, { everyMs: 50, forMs: 60_000 })).toBe(true)
  // A balancer's connection with a request under way: it may still ask, and nobody can open another.
  const balancer = connectionTo(server.base)
  balancer.write(
    `POST /api/agents/balanced/messages HTTP/1.1`,
    JSON.stringify({ message: script({ text: 'x', gate: short.file }), template: 'scripted' }),
  )
  const balanced = async () => (await world.effects()).some(({ agentId }) => agentId === 'balanced')
  expect(await poll(balanced, { everyMs: 50, forMs: 60_000 })).toBe(true)
  server.child.kill('SIGTERM')
  await expect.poll(() => server.log()).toContain('SIGTERM')
  balancer.write('GET /ready HTTP/1.1')
  const refused = await fetch(`${server.base}/ready`).then(
    () => 'answered',
    () => 'refused',
  )
  await short.open()
  await balancer.closed
  expect(refused).toBe('refused')
  // The request under way is answered, and that this connection takes no more: none is left idle, for which Next would wait.
  expect([...balancer.text().matchAll(/^HTTP\/1\.1 (\d+)|^connection: \w+/gim)].map(([line]) => line.toLowerCase())).toEqual([
    'http/1.1 200',
    'connection: close',
  ])
  // Its own clock ends it after 9.5 s at most.
  expect(await server.end).toEqual({ code: 0, inTime: true })
  await long.open()
  const { runId } = (await (await reply).json()) as { runId: string }
  expect(await world.ended(runId, 60_000)).toMatchObject({ state: 'completed', output: 'in the end', crashes: 0 })
})

test('a server that nobody has asked anything, and one whose requests wait for others, end with 0 too, and at Ctrl-C', async () => {
  const fresh = await startServer()
  fresh.child.kill('SIGTERM')
  expect((await fresh.end).code).toBe(0)
  const server = await startServer()
  await world.http('POST', '/api/agents', { id: 'asks', template: 'scripted', permission: { ask: ['charge'] } })
  await world.send('asks', script({ tools: [{ name: 'charge', input: { key: 'asks', cents: 1 } }] }), { prefer: 'wait=10' })
  const held = await world.send('held', script({ text: 'x', delayMs: 20_000 }), { prefer: 'respond-async' })
  const waiting = fetch(`${server.base}/api/runs/${String(held.body['runId'])}?wait=40`)
  await fetch(`${server.base}/api/agents`)
  server.child.kill('SIGINT')
  expect(await server.end).toEqual({ code: 0, inTime: true })
  const answer = await waiting
  expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'close'])
})

test('what a process has counted and traced is told before it ends', async () => {
  const receiver = await startReceiver()
  onTestFinished(() => receiver.close())
  const server = await startServer({ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url })
  const gate = world.gate()
  // Its slice goes on beside the stream, whose request has sent what it had to tell when it was answered.
  const stream = await fetch(`${server.base}/api/agents/traced/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ message: script({ text: 'x', gate: gate.file }), template: 'scripted' }),
  })
  const read = stream.text().catch(() => 'broken')
  const asked = async (): Promise<boolean> => (await world.effects()).some(({ agentId }) => agentId === 'traced')
  expect(await poll(asked, { everyMs: 50, forMs: 60_000 })).toBe(true)
  const told = async (route: string): Promise<boolean> => {
    const counted = `select counts::text as of from baton.metric_deltas union all select labels::text from baton.metric_totals`
    return (await world.sql(`select 1 from (${counted}) told where of like $1`, [`%"${route}"%`])).length > 0
  }
  // The other follows what was told just now, so that it would be told by itself a second later: with the end it is told before.
  await fetch(`${server.base}/api/budgets`)
  expect(await poll(() => told('/api/budgets'), { everyMs: 20, forMs: 60_000 })).toBe(true)
  await fetch(`${server.base}/api/retention`)
  server.child.kill('SIGTERM')
  await expect.poll(() => server.log(), { interval: 20 }).toContain('SIGTERM')
  await gate.open()
  expect((await server.end).code).toBe(0)
  expect(await told('/api/retention')).toBe(true)
  expect(receiver.spans.filter(({ name }) => name === 'invoke_agent scripted')).toHaveLength(1)
  await read
})
