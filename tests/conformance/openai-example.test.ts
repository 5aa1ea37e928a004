import { spawn, type ChildProcess } from 'node:child_process'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, makeKey, startGuarded } from '#tests/access/kit'
import { poll } from '#local/poll'
import { script, type World } from '#tests/world'
import { runOf } from './openai-kit.ts'

/** examples/node-openai as a stranger starts it: copied, with the openai client beside it. */
let world: World
let folder: string
let example: ChildProcess
let base: string
let output = ''
beforeAll(async () => {
  world = await startGuarded({ env: { BATON_LEASE_MS: '3000' } })
  folder = await mkdtemp(join(tmpdir(), 'baton-example-'))
  await cp(join(import.meta.dirname, '../../examples/node-openai'), folder, { recursive: true })
  await symlink(join(import.meta.dirname, 'node_modules'), join(folder, 'node_modules'))
  const { key } = await makeKey(world, ['agents:read', 'agents:run'])
  const secret = 'whsec_'.concat(Buffer.alloc(32, 7).toString('base64'))
  const env = { BATON_URL: world.base(), BATON_KEY: key, BATON_TEMPLATE: 'scripted', WEBHOOK_SECRET: secret, PORT: '0' }
  example = spawn(process.execPath, ['server.js'], { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  example.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()))
  if (!(await poll(() => Promise.resolve(output.includes('listening on')), { everyMs: 50, forMs: 20_000 })))
    throw new Error('it does not listen')
  base = `http://127.0.0.1:${/listening on (\d+)/.exec(output)?.[1] ?? ''}`
  await world.http('POST', '/api/webhooks', { url: `${base}/webhook`, secret }, bearer(adminKey))
})
afterAll(async () => {
  example.kill()
  await rm(folder, { recursive: true, force: true })
  await world.close()
})

type Line = { item?: number; text?: string; drop?: number; id?: string; tool?: string }

async function ask(
  question: string,
  after?: string,
  onLine: (line: Line) => void = () => undefined,
): Promise<{ text: string; lines: Line[]; id: string }> {
  const response = await fetch(`${base}/ask`, {
    method: 'POST',
    body: JSON.stringify({ question, after }),
    signal: AbortSignal.timeout(50_000),
  })
  const lines: Line[] = []
  const items = new Map<number, string>()
  let rest = ''
  for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      const line = JSON.parse(part) as Line
      if (line.item !== undefined) items.set(line.item, (items.get(line.item) ?? '') + String(line.text))
      if (line.drop !== undefined) items.delete(line.drop)
      lines.push(line)
      onLine(line)
    }
  }
  return { text: [...items.values()].join(''), lines, id: lines.at(-1)?.id ?? '' }
}

test('asks, goes on with the conversation, begins a job, takes webhooks', async () => {
  const first = await ask(script({ text: 'I look.', tools: [{ name: 'echo', input: { value: 1 } }] }, { text: 'One.' }))
  expect(first.text).toBe('I look.One.')
  expect(first.lines).toContainEqual({ tool: 'echo', status: 'completed' })
  expect((await ask('and then?', first.id)).text).toBe('You said: and then?')
  const begun = await fetch(`${base}/jobs`, { method: 'POST', body: JSON.stringify({ question: 'later' }) })
  const { id, status } = (await begun.json()) as { id: string; status: string }
  expect(status).toBe('queued')
  const over = await poll(async () => ((await (await fetch(`${base}/jobs/${id}`)).json()) as { status: string }).status === 'completed', {
    everyMs: 100,
    forMs: 15_000,
  })
  expect(over).toBe(true)
  expect(await poll(() => Promise.resolve(output.includes(`webhook run.completed of ${runOf(id)}`)), { everyMs: 100, forMs: 15_000 })).toBe(
    true,
  )
  const forged = await fetch(`${base}/webhook`, { method: 'POST', body: '{}', headers: { 'webhook-id': 'x' } })
  expect(forged.status).toBe(400)
  const unknown = await fetch(`${base}/jobs/resp_${'0'.repeat(32)}`)
  expect([unknown.status, await unknown.json()]).toMatchObject([404, { code: 'response_not_found' }])
})

test('what is refused is told with its status and code, before anything is streamed', async () => {
  const refused = await fetch(`${base}/ask`, {
    method: 'POST',
    body: JSON.stringify({ question: 'and?', after: `resp_${'0'.repeat(32)}` }),
  })
  expect([refused.status, await refused.json()]).toMatchObject([404, { code: 'previous_response_not_found' }])
})

test('the server is killed in the middle of an answer: whoever asked gets the stored text', async () => {
  const long = Array.from({ length: 20 }, (_, index) => `line ${index} — `).join('')
  const gate = world.gate()
  let killed = false
  const asked = await ask(script({ text: long, chunks: 20, chunkDelayMs: 50, gate: gate.file }), undefined, (line) => {
    if (killed || line.text === undefined) return
    killed = true
    process.kill(world.stack.info.pids.servers[0] ?? 0, 'SIGKILL')
    void gate.open()
  })
  const [row] = await world.sql<{ output: string }>('select output from baton.runs where run_id = $1', [runOf(asked.id)])
  expect(asked.text).toBe(row?.output)
  expect(asked.text).toBe(long)
  expect(asked.lines.some(({ drop }) => drop !== undefined)).toBe(true)
})
