import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import type { LiveFrame, Log } from '#lib/core/ports'
import { createConnection } from '#lib/live/connection'
import { createFollow } from '#lib/live/follow'
import { createForward } from '#lib/live/forward'
import { createSignals } from '#lib/live/signals'
import type { Batch, Signal } from '#lib/live/wire'
import { agentUid, clockAt, command, delta, listen, runId, startRedis, stop, until } from './live.fixtures.ts'

/* What a process keeps of others, and what it leaves in Redis, has bounds: agents and processes come and go. */

const quiet = () => undefined
const log: Log = { info: quiet, warn: quiet, error: quiet }

const clock = clockAt(5)

/** A connection to something that takes every pipeline, and what it was asked: to fill streams beyond their bounds would take the embedded Redis seconds. */
async function listening() {
  const asked: string[][] = []
  const front = createServer((from, response) => {
    let body = ''
    from.on('data', (chunk: Buffer) => (body += chunk.toString()))
    from.on('end', () => {
      const pipeline: unknown[][] = JSON.parse(body)
      asked.push(...pipeline.map((words) => words.map((word) => String(word).toLowerCase())))
      response.end(JSON.stringify(pipeline.map(() => ({ result: '1-0' }))))
    })
  })
  const settings = { url: `http://127.0.0.1:${await listen(front)}`, token: 'token', prefix: 'baton:' }
  onTestFinished(() => stop(front))
  return { asked, settings, connection: createConnection(settings, clock, log, 15_000) }
}

test('what was written of an agent stays in Redis for a quarter of an hour, and about a thousand writes of it', async () => {
  const { asked, connection } = await listening()
  const writer = createForward({ connection, clock, processId: 'here', keyOf: (uid) => `baton:live:${uid}`, onGap: quiet })
  writer.emit(delta(0, 'here'))
  await writer.close()
  const key = `baton:live:${agentUid}`
  expect(asked).toEqual([
    ['xadd', key, 'maxlen', '~', '1000', '*', 'd', expect.stringContaining('here')],
    ['expire', key, String(15 * 60)],
  ])
})

test('of signals Redis keeps about five thousand', async () => {
  const { asked, settings, connection } = await listening()
  const { send } = createSignals({ settings, connection, clock, log, processId: 'here', onSignal: quiet })
  expect(await send([{ kind: 'halt', agentUid, runId }])).toEqual(['1-0'])
  expect(asked[0]?.slice(0, 6)).toEqual(['xadd', 'baton:signals', 'maxlen', '~', '5000', '*'])
})

test('what waits to be written is of a thousand agents at most: the frames of the oldest go', async () => {
  const { asked, connection } = await listening()
  const writer = createForward({ connection, clock, processId: 'here', keyOf: (uid) => uid, onGap: quiet })
  const agents = Array.from({ length: 1_002 }, (_, n) => `agent-${n}`)
  for (const agent of agents) writer.emit(delta(0, 'here', { agentUid: agent }))
  await writer.close()
  expect(asked.filter(([word]) => word === 'xadd').map(([, key]) => key)).toEqual(agents.slice(2))
})

test('a signal that comes twice is told once, for as long as it is among the last ten thousand', async () => {
  const ids = Array.from({ length: 10_001 }, (_, n) => `there:${n}`)
  const message = (id: string) => {
    const received: Signal = { kind: 'halt', agentUid, runId, id, from: 'there' }
    return `data: message,baton:signals,${JSON.stringify(received)}\n\n`
  }
  const channel = createServer((from, response) => {
    if (from.url?.startsWith('/subscribe/') !== true) return void response.end('{"result":[]}')
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: subscribe,baton:signals,1\n\n')
    response.write([...ids, 'there:1', 'there:10000', 'there:0', 'the end'].map(message).join(''))
  })
  const settings = { url: `http://127.0.0.1:${await listen(channel)}`, token: 'token', prefix: 'baton:' }
  const connection = createConnection(settings, clock, log, 15_000)
  const told: string[] = []
  const listener = createSignals({ settings, connection, clock, log, processId: 'here', onSignal: ({ id }) => told.push(id) })
  onTestFinished(async () => {
    await listener.close()
    await stop(channel)
  })
  listener.hold()
  await expect.poll(() => told.at(-1), until).toBe('the end')
  expect(told).toEqual([...ids, 'there:0', 'the end'])
})

test('of the writers of an agent the last fifty are remembered', async () => {
  const { url, prefix } = await startRedis()
  const settings = { url, token: 'token', prefix }
  const connection = createConnection(settings, clock, log, 15_000)
  const signals = createSignals({ settings, connection, clock, log, processId: 'here', onSignal: quiet })
  const texts: string[] = []
  const onFrame = ({ body }: LiveFrame) => void texts.push(body.type === 'delta' ? body.text : body.type)
  const reader = createFollow({ connection, clock, processId: 'here', signals, keyOf: (uid) => `${prefix}live:${uid}`, onFrame })
  onTestFinished(() => reader.close())
  reader.follow(agentUid)
  await expect.poll(() => command(url, ['XLEN', `${prefix}signals`]), until).toBe(1)
  const write = (from: string) => {
    const batch: Batch = { from, number: 1, frames: [delta(0, from)] }
    return command(url, ['XADD', `${prefix}live:${agentUid}`, '*', 'd', JSON.stringify(batch)])
  }
  const processes = Array.from({ length: 51 }, (_, n) => `process-${n}`)
  // A repeated write counts once: that of a process which was forgotten counts again.
  for (const from of [...processes, 'process-1', 'process-50', 'process-0', 'the end']) await write(from)
  await expect.poll(() => texts.at(-1), until).toBe('the end')
  expect(texts).toEqual([...processes, 'process-0', 'the end'])
})
