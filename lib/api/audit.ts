import { z } from 'zod'
import type { AuditEntry, AuditQuery } from '#lib/core/audit'
import { json } from '#lib/api/answers'
import { decodeCursor, encodeCursor } from '#lib/api/cursor'
import { endpoint } from '#lib/api/endpoint'
import { listing } from '#lib/api/listing'
import { order, page, range } from '#lib/api/schemas'
import { authorityOf } from '#lib/api/scope'
import type { Services } from '#lib/services'
import { refusalError } from '#lib/engine/open'
import type { Caller } from '#lib/http/caller'
import { accepts } from '#lib/http/headers'

const word = z.string().min(1).max(200)
const filters = z.object({
  ...page,
  ...range,
  order: order.default('desc'),
  agent: word.optional(),
  run: word.optional(),
  actor: word.optional(),
  action: z
    .string()
    .regex(/^[a-z_]+\.[a-z_]+$/, 'an action reads noun.verb, such as message.accept')
    .optional(),
  decision: z.enum(['allowed', 'refused', 'recorded']).optional(),
  scope: word.optional(),
})

/** The media type of an export: one JSON document a line. */
const lines = 'application/x-ndjson'
/** Entries that an export reads at a time, so that neither side ever holds more. */
const exportPage = 200

/** GET /api/audit: the decisions in this tenant, newest first; with Accept: application/x-ndjson all that match, as an export. */
export const listAudit = endpoint({
  method: 'GET',
  path: '/api/audit',
  summary: 'The audit log: one entry for each decision; an export with Accept: application/x-ndjson',
  query: filters,
  async handler({ services, request, query: { run, cursor, ...rest }, caller }) {
    const query: AuditQuery = { ...rest, runId: run, after: afterOf(cursor, rest.order) }
    if (accepts(request, lines)) return exported(services, caller, query, request.signal)
    const rows = await pageOf(services, caller, query)
    const shown = listing(rows, query.limit, ({ at, id }) => encodeCursor('audit', `${at}|${id}`, query.order))
    return json(200, shown)
  },
})

/** Entries hold what callers wrote as reasons: whoever wrote them, they leave without secrets. */
async function pageOf(services: Services, caller: Caller, query: AuditQuery): Promise<AuditEntry[]> {
  const answer = await services.store.listAudit(authorityOf(services, caller), query)
  if (!answer.ok) throw refusalError(answer)
  return services.redact(answer.data)
}

function afterOf(cursor: string | undefined, direction: AuditQuery['order']): AuditQuery['after'] {
  if (cursor === undefined) return null
  const [at = '', id = ''] = decodeCursor('audit', cursor, direction).split('|')
  return { at, id }
}

/**
 * All pages as lines, each read when the reader has taken the one before. A fault, or the function's own limit, breaks the answer instead of ending
 * it: what looks complete is complete. Who is cut goes on with `from` or `to` of the last line.
 */
async function exported(services: Services, caller: Caller, query: AuditQuery, signal: AbortSignal): Promise<Response> {
  const { clock, config } = services
  const until = clock.monotonic() + config.maxDurationMs - config.hardMarginMs
  const wanted = { ...query, limit: exportPage }
  // The first page before the answer begins, so that a refusal is a problem document.
  let data = await pageOf(services, caller, wanted)
  const text = new TextEncoder()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (data.length > 0) controller.enqueue(text.encode(data.map((entry) => `${JSON.stringify(entry)}\n`).join('')))
      const last = data.at(-1)
      if (last === undefined || data.length < exportPage) return controller.close()
      if (signal.aborted || clock.monotonic() >= until) throw new Error('the export was cut at the limit of the function')
      data = await pageOf(services, caller, { ...wanted, after: { at: last.at, id: String(last.id) } })
      // A stream asks again only for what it was not given.
      if (data.length === 0) controller.close()
    },
  })
  const headers = { 'content-type': `${lines}; charset=utf-8`, 'content-disposition': 'attachment; filename="audit.jsonl"' }
  return new Response(body, { status: 200, headers })
}
