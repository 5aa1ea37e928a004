import { Agent, request } from 'node:http'

/** An answer read to its end. */
export interface Answer {
  status: number
  text: string
  ms: number
}

const agent = new Agent({ keepAlive: true, maxSockets: 128 })

/** One POST over a kept connection, on node:http because its own cost is the smallest. Throws for any answer above 299. */
export async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const text = JSON.stringify(body)
  const from = performance.now()
  const answer = await new Promise<Answer>((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: 'POST',
        agent,
        timeout: 60_000,
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers },
      },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', reject)
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString(), ms: performance.now() - from }),
        )
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in 60 s')))
    outgoing.on('error', reject)
    outgoing.end(text)
  })
  if (answer.status > 299) throw new Error(`${url}: ${answer.status} ${answer.text.slice(0, 500)}`)
  return answer
}

/** Milliseconds of `times` calls by each of `callers` at once. */
export async function load(callers: number, times: number, one: (caller: number, at: number) => Promise<number>): Promise<number[]> {
  const all = await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      const each: number[] = []
      for (let at = 0; at < times; at++) each.push(await one(caller, at))
      return each
    }),
  )
  return all.flat()
}
