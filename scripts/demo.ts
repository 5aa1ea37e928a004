import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createParser } from 'eventsource-parser'
import { Webhook } from 'standardwebhooks'
import { poll } from '#local/poll'
import type { Stack } from '#local/stack'
import { startUntilStopped } from '#local/until-stopped'
import { ensureBuild } from '#scripts/build'

/*
 * The main job, for somebody who has just cloned this: an agent outlives its function. Ends with 0 only if everything happened
 * that it promises: 202, the run goes on in Inngest, text over SSE, a server killed in the middle, the end, a verified webhook,
 * and each effect once.
 */

const from = performance.now()
const agent = 'demo'
const chargeKey = 'invoice-7'
const longestMs = 120_000

function say(line: string): void {
  console.log(`${((performance.now() - from) / 1_000).toFixed(1).padStart(6)} s  ${line}`)
}

/** What the scripted model answers, call by call: about 10 s of work with two tools, one of which must never run twice. */
const job = JSON.stringify({
  script: [
    { chunks: ['Looking ', 'up ', 'your ', 'invoice. '], chunkDelayMs: 800, tools: [{ name: 'count', input: { key: 'lookups' } }] },
    { text: 'It is open, I charge it. ', tools: [{ name: 'charge', input: { key: chargeKey, cents: 4_200 } }] },
    {
      chunks: ['I am ', 'writing ', 'a ', 'long ', 'letter ', 'about ', 'it, ', 'word ', 'by ', 'word. '],
      chunkDelayMs: 500,
      tools: [{ name: 'wait', input: { ms: 1_000 } }],
    },
    { text: 'Done: invoice 7 is paid and the letter is written.', chunks: 5, chunkDelayMs: 100 },
  ],
})

interface Hook {
  url: string
  received: { id: string; verified: boolean; body: { type: string; data: { state: string; output: string } } }[]
  close(): void
}

/** A receiver as a backend has one: it verifies the signature of every delivery with the secret that the message named. */
async function receiver(secret: string): Promise<Hook> {
  const received: Hook['received'] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      const headers = Object.fromEntries(
        ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => [name, String(request.headers[name])]),
      )
      let verified = true
      try {
        new Webhook(secret).verify(text, headers)
      } catch {
        // Said aloud by the check at the end: a delivery that cannot be verified fails the demo.
        verified = false
      }
      received.push({ id: String(headers['webhook-id']), verified, body: JSON.parse(text) })
      response.writeHead(204).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/hook`, received, close: () => void server.close() }
}

interface Followed {
  /** Text of each step as it was streamed, and as it was stored. */
  streamed: string[]
  stored: string[]
  doubled: number
  reconnects: number
  done: boolean
}

/** Follows the run's events as a browser's EventSource does: reconnects with the last number it saw. */
async function follow(url: string, seen: Followed, onText: (step: number) => void): Promise<void> {
  const end = performance.now() + longestMs
  let lastId = ''
  let text = ''
  let highest = 0
  const parser = createParser({
    onEvent({ id, event, data }) {
      const body = JSON.parse(data) as {
        text?: string
        step?: number
        type?: string
        stopReason?: string
        reason?: string
        epoch?: number
        call?: { name: string; state: string }
      }
      if (id !== undefined) {
        if (Number(id) <= highest) seen.doubled += 1
        highest = Number(id)
        lastId = id
      }
      if (event === 'text_start' || event === 'step_reset') text = ''
      if (event === 'step_reset') say('  (the step begins again: what was shown of it is dropped)')
      if (event === 'text_delta') {
        text += body.text ?? ''
        say(`  text: ${(body.text ?? '').trim()}`)
        onText(body.step ?? 0)
      }
      if (event === 'text_end') {
        seen.streamed.push(text)
        seen.stored.push(body.text ?? '')
      }
      if (event === 'tool_end') say(`  tool: ${body.call?.name} ${body.call?.state}`)
      if (event === 'handed_off') say(`  handed over to Inngest (${body.reason})`)
      if (event === 'resumed') say(`  resumed by an Inngest slice, epoch ${body.epoch}`)
      if (event === 'done') seen.done = true
    },
  })
  while (!seen.done && performance.now() < end) {
    try {
      const headers = lastId === '' ? {} : { 'last-event-id': lastId }
      const response = await fetch(url, { headers: { accept: 'text/event-stream', ...headers }, signal: AbortSignal.timeout(longestMs) })
      if (response.status !== 200 || response.body === null) throw new Error(`the stream answered ${response.status}`)
      parser.reset()
      const decoder = new TextDecoder()
      for await (const chunk of response.body) parser.feed(decoder.decode(chunk, { stream: true }))
    } catch {
      // The server is away or broke the stream: a browser would try again, and so do we, within the time of the demo.
      seen.reconnects += 1
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

async function demo(stack: Stack): Promise<string[]> {
  const base = stack.info.baseUrls[0] ?? ''
  const secret = `whsec_${Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString('base64')}`
  const hook = await receiver(secret)
  const wrong: string[] = []
  const check = (holds: boolean, what: string): void => {
    say(`${holds ? 'ok   ' : 'WRONG'} ${what}`)
    if (!holds) wrong.push(what)
  }
  say(`POST /api/agents/${agent}/messages: about 10 s of work; this request may run it for 2 s`)
  const body = { message: job, template: 'scripted', limits: { sliceMs: 2_000 }, webhook: { url: hook.url, secret } }
  const reply = await fetch(`${base}/api/agents/${agent}/messages`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  const accepted = (await reply.json()) as { status: string; runId: string; links: { events: string } }
  check(
    reply.status === 202 && accepted.status === 'processing',
    `the POST was answered with ${reply.status} ${accepted.status}; the run is ${accepted.runId}`,
  )

  const seen: Followed = { streamed: [], stored: [], doubled: 0, reconnects: 0, done: false }
  let words = 0
  let killed = Promise.resolve()
  await follow(base + accepted.links.events, seen, (step) => {
    if (step !== 3 || ++words !== 4) return
    say('kill -9 of the server, in the middle of a sentence')
    killed = stack.kill('server-0')
  })
  await killed
  check(words >= 4 && seen.reconnects > 0, 'the server was killed in the middle and the stream reconnected')
  const run = (await (await fetch(`${base}/api/runs/${accepted.runId}?wait=20`)).json()) as {
    state: string
    slices: number
    output: string
    explain: string
  }
  check(seen.done && run.state === 'completed', `the run ended: ${run.explain}`)
  check(run.slices >= 3, `one POST, ${run.slices} slices: the request, Inngest, and Inngest again after the kill`)
  check(
    seen.streamed.length === 4 && seen.streamed.every((text, index) => text === seen.stored[index]),
    'the streamed text equals the stored text in every step',
  )
  check(seen.doubled === 0, 'no event came twice')

  await poll(() => hook.received.length > 0, { everyMs: 100, forMs: 20_000 })
  const first = hook.received[0]
  check(
    first?.verified === true && first.body.type === 'run.completed',
    `the webhook arrived (${first?.body.type}) and its signature is valid`,
  )
  check(new Set(hook.received.map(({ id }) => id)).size === 1, 'it has one event id')
  const effects = (await (await fetch(`${base}/api/local/effects?runId=${accepted.runId}`)).json()) as {
    data: { kind: string; name: string; key?: string }[]
  }
  const tools = effects.data.filter(({ kind }) => kind === 'tool').map(({ name }) => name)
  check(tools.filter((name) => name === 'charge').length === 1, 'the card was charged exactly once')
  check(tools.join() === 'count,charge,wait', `each effect happened once: ${tools.join(', ')}`)
  say(`output: ${run.output}`)
  hook.close()
  return wrong
}

async function main(): Promise<number> {
  await ensureBuild(say)
  const dataDir = join(import.meta.dirname, '..', '.baton', 'demo')
  say('starting the embedded stack: Postgres, Supabase API, Redis gateway, Inngest executor, server')
  const stack = await startUntilStopped({ built: true, dataDir, fresh: true, quiet: true }, 130, say)
  try {
    say(`ready ${stack.info.baseUrls[0]}`)
    const wrong = await demo(stack)
    say(wrong.length === 0 ? 'All of it happened. The agent outlived its function.' : `${wrong.length} things went wrong.`)
    return wrong.length === 0 ? 0 : 1
  } finally {
    await stack.stop()
  }
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? (error.stack ?? error.message) : String(error))
  return 1
})
