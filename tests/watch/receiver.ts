import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'

const value = z.object({ stringValue: z.string(), intValue: z.union([z.string(), z.number()]), arrayValue: z.unknown() }).partial()
const attributes = z.array(z.object({ key: z.string(), value })).default([])
const body = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              traceId: z.string(),
              spanId: z.string(),
              parentSpanId: z.string().optional(),
              name: z.string(),
              kind: z.number(),
              startTimeUnixNano: z.string(),
              endTimeUnixNano: z.string(),
              attributes,
            }),
          ),
        }),
      ),
    }),
  ),
})

/** A span as OTLP/HTTP brings it. */
export interface ReceivedSpan {
  traceId: string
  spanId: string
  parent: string | null
  name: string
  attributes: Record<string, unknown>
  service: unknown
}

const flat = (list: z.output<typeof attributes>): Record<string, unknown> =>
  Object.fromEntries(
    list.map(({ key, value: { stringValue, intValue, arrayValue } }) => [
      key,
      stringValue ?? (intValue === undefined ? arrayValue : Number(intValue)),
    ]),
  )

/** Takes what is posted to it: spans at /v1/traces, anything else as a webhook. */
export async function startReceiver(): Promise<{
  url: string
  spans: ReceivedSpan[]
  raw: string[]
  hooks: { headers: Record<string, unknown>; body: string }[]
  close: () => void
}> {
  const spans: ReceivedSpan[] = []
  const raw: string[] = []
  const hooks: { headers: Record<string, unknown>; body: string }[] = []
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      if (request.url !== '/v1/traces') return void hooks.push({ headers: request.headers, body: text })
      raw.push(text)
      for (const { resource, scopeSpans } of body.parse(JSON.parse(text)).resourceSpans)
        for (const { traceId, spanId, parentSpanId, name, attributes: given } of scopeSpans.flatMap((scope) => scope.spans))
          spans.push({
            traceId,
            spanId,
            parent: parentSpanId ?? null,
            name,
            attributes: flat(given),
            service: flat(resource.attributes)['service.name'],
          })
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    raw,
    hooks,
    close: () => void server.close(),
  }
}
