import { EventSource } from 'eventsource'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { adminKey, bearer, startGuarded } from '#tests/access/kit'
import { begin, echo, slow } from './native-kit'
import type { World } from '#tests/world'

/** A function that may run 10 s, 5 s of them its margin: streams break after 5 s. */
const life = { BATON_MAX_DURATION_MS: '10000', BATON_HARD_MARGIN_MS: '5000', BATON_LEASE_MS: '3000' }
const admin = bearer(adminKey)

let world: World
beforeAll(async () => {
  world = await startGuarded({ env: life })
})
afterAll(() => world.close())

interface Data extends Record<string, unknown> {
  seq?: number
  type: string
  runId: string
  step: number | null
  text?: string
  offset?: number
}

/** What a page shows of a run: the text of its latest step, pieced together by offset. */
class Page {
  readonly seqs: number[] = []
  readonly types: string[] = []
  /** As after each event. */
  readonly shown: string[] = []
  connections = 0
  private text = ''
  private step: number | null = null

  take(data: Data): void {
    this.types.push(data.type)
    if (data.seq !== undefined) this.seqs.push(data.seq)
    const same = data.step === this.step
    // The text so far comes again on each connection, from offset 0: whatever is shown from there on gives way to it.
    if (data.type === 'text_delta') this.text = (same ? this.text.slice(0, data.offset) : '') + data.text
    else if (data.type === 'text_start' || data.type === 'step_reset') this.text = ''
    else if (data.type === 'text_end') this.text = data.text ?? ''
    else return
    this.step = data.step
    this.shown.push(this.text)
  }

  get last(): string {
    return this.text
  }
}

const named = ['text_start', 'text_delta', 'text_end', 'step_reset', 'tool_start', 'tool_end', 'state_changed', 'usage', 'step_complete']
const monitor = ['handed_off', 'resumed', 'retry', 'done']

/** Reads until the source gives up by itself, which it does at 204; `onEvent` may do something in between. */
function read(url: string, onEvent: (data: Data, page: Page) => void = () => undefined): Promise<Page> {
  const page = new Page()
  const source = new EventSource(url)
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`not ended: ${page.types.join(' ')}`)), 50_000)
    source.addEventListener('open', () => (page.connections += 1))
    for (const type of [...named, ...monitor])
      source.addEventListener(type, (event) => {
        const data = JSON.parse(event.data as string) as Data
        page.take(data)
        onEvent(data, page)
      })
    source.addEventListener('error', ({ code }) => {
      if (source.readyState !== EventSource.CLOSED) return
      clearTimeout(late)
      if (code === 204) resolve(page)
      else reject(new Error(`closed with ${code}`))
    })
  })
}

async function expectWhole(page: Page, agent: string, runId: string): Promise<void> {
  const run = (await world.http('GET', `/api/runs/${runId}`, undefined, admin)).body as { state: string; output: string; slices: number }
  expect(run.state).toBe('completed')
  expect(Buffer.from(page.last)).toEqual(Buffer.from(run.output))
  const path = `/api/agents/${agent}/events?after=0&limit=200`
  const stored = (await world.http('GET', path, undefined, { ...admin, accept: 'application/json' })).body['data'] as Data[]
  expect(page.seqs).toEqual(stored.filter((event) => event.runId === runId).map(({ seq }) => seq))
}

test('with nothing but the link it reads a run to its end, and is told by 204 not to come back', async () => {
  const { runId, events } = await begin(world, 'es', [{ ...slow(3, 20), ...echo }, { text: 'Good day' }], admin)
  const page = await read(events)
  await expectWhole(page, 'es', runId)
  expect(page.types.at(-1)).toBe('done')
})

test('the function ends in mid-answer: it comes back by itself, and misses and doubles nothing', async () => {
  const { runId, events } = await begin(
    world,
    'es-life',
    [{ ...slow(12, 200), ...echo }, { ...slow(12, 200), ...echo }, slow(15, 200)],
    admin,
  )
  const page = await read(events)
  await expectWhole(page, 'es-life', runId)
  expect(page.connections).toBeGreaterThan(1)
})

test('the server is killed in mid-answer: what was shown of the step gives way, the text is the stored one', async () => {
  const gate = world.gate()
  const answers = [
    { ...slow(4, 50), ...echo },
    { ...slow(20, 50), gate: gate.file },
  ]
  const { runId, events } = await begin(world, 'es-kill', answers, admin)
  let killed = false
  const page = await read(events, ({ type, step, offset }) => {
    if (killed || type !== 'text_delta' || step === 1 || (offset ?? 0) < 30) return
    killed = true
    void world.stack.kill('server-0').then(gate.open)
  })
  expect(killed).toBe(true)
  await expectWhole(page, 'es-kill', runId)
  expect(page.connections).toBeGreaterThan(1)
  expect(page.types).toContain('resumed')
})

test("an agent's own link follows all its runs", async () => {
  const first = await begin(world, 'es-agent', [{ text: 'one' }], admin)
  await read(first.events)
  const { links } = (await world.http('GET', '/api/agents/es-agent', undefined, admin)).body as { links: { events: string } }
  const source = new EventSource(new URL(`${links.events}&after=0`, world.base()))
  const texts: string[] = []
  const two = new Promise<void>((resolve) => {
    source.addEventListener('text_end', ({ data }) => {
      texts.push((JSON.parse(data as string) as Data).text ?? '')
      if (texts.length === 2) resolve()
    })
  })
  await begin(world, 'es-agent', [{ text: 'two' }], admin)
  await two
  source.close()
  expect(texts).toEqual(['one', 'two'])
})

test('a link of somebody else, a broken one and none: refused, not tried again', async () => {
  const { runId, events } = await begin(world, 'es-bad', [{ text: 'x' }], admin)
  const other = await begin(world, 'es-other', [{ text: 'x' }], admin)
  const bad = [events.replace(runId, other.runId), `${events}x`, events.split('?')[0] ?? '']
  const closed = bad.map(
    (url) =>
      new Promise((resolve) => {
        const source = new EventSource(url)
        source.addEventListener('error', ({ code }) => resolve([code, source.readyState]))
      }),
  )
  expect(await Promise.all(closed)).toEqual([
    [403, EventSource.CLOSED],
    [401, EventSource.CLOSED],
    [401, EventSource.CLOSED],
  ])
})
