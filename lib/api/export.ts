import { z } from 'zod'
import { BatonError } from '#lib/core/errors'
import { exportText, type ExportLine, type ExportPlace } from '#lib/core/operations'
import type { Store } from '#lib/core/pages'
import { parseScope, scopeText } from '#lib/core/scope'
import type { Authority } from '#lib/core/store'
import { endpoint } from '#lib/api/endpoint'
import { authorityOf } from '#lib/api/scope'
import { refusalError } from '#lib/engine/open'
import type { Services } from '#lib/services'

/** GET /api/export?scope=agent:ID, user:ID or tenant: everything that is kept, one JSON document a line. Secrets and sealed secrets are not in it. */
export const getExport = endpoint({
  method: 'GET',
  path: '/api/export',
  summary: 'Export an agent, a user or the tenant as JSON lines',
  query: z.object({ scope: z.string().min(1).max(250) }),
  async handler({ services, query, caller, request }) {
    const scope = parseScope(query.scope)
    if (scope === null || scope.id === '*' || !['agent', 'user', 'tenant'].includes(scope.kind))
      throw new BatonError('validation', 'scope is agent:ID, user:ID or tenant.', {
        problems: [{ in: 'query', path: '/scope', message: 'is agent:ID, user:ID or tenant' }],
      })
    return exported(services, authorityOf(services, caller), scopeText(scope), request.signal)
  },
})

/**
 * All pages, each read when the reader has taken the one before. The last line says that it is complete: a fault, or the function's own limit,
 * breaks the answer instead of ending it.
 */
export async function exported(
  { clock, config, store, redact }: Pick<Services, 'clock' | 'config' | 'redact'> & { store: Pick<Store, 'exportPage'> },
  authority: Authority,
  scope: string,
  signal: AbortSignal,
): Promise<Response> {
  const until = clock.monotonic() + config.maxDurationMs - config.hardMarginMs
  const page = async (at: ExportPlace) => {
    const answer = await store.exportPage(authority, { scope, at })
    if (!answer.ok) throw refusalError(answer)
    return answer
  }
  // The first page before the answer begins, so that a refusal is a problem document.
  let next: Awaited<ReturnType<typeof page>> | null = await page(null)
  let lines = 0
  const text = new TextEncoder()
  const lineOf = (line: ExportLine): string => exportText(line, redact)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (next === null) return controller.close()
      const { lines: rows, next: place } = next
      lines += rows.length
      const last = place === null ? `${JSON.stringify({ type: 'end', agentId: null, data: { scope, lines } })}\n` : ''
      next = null
      controller.enqueue(text.encode(rows.map(lineOf).join('') + last))
      if (place === null) return
      if (signal.aborted || clock.monotonic() >= until) throw new Error('the export was cut at the limit of the function')
      next = await page(place)
    },
  })
  return new Response(body, {
    status: 200,
    headers: { 'content-type': 'application/x-ndjson; charset=utf-8', 'content-disposition': 'attachment; filename="export.jsonl"' },
  })
}
