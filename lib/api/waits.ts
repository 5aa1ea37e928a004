import type { AgentUid } from '#lib/core/ids'
import type { RunDetails } from '#lib/core/pages'
import type { Authority } from '#lib/core/store'
import type { RunFacts } from '#lib/api/answers'
import { runBy } from '#lib/api/scope'
import { unreadWaits } from '#lib/api/unread'
import type { Services } from '#lib/services'
import { signCallToken } from '#lib/http/token'

/** What a paused run waits for, with the address for each result from outside; null for a run that is not paused. Without `mayRead` which tools, and no more. Throws BatonError run_not_found. */
export async function waitsOf(
  services: Services,
  authority: Authority,
  { runId, state }: Pick<RunFacts, 'runId' | 'state'>,
  mayRead: boolean,
): Promise<Record<string, unknown> | null> {
  if (state !== 'awaiting_approval' && state !== 'waiting') return null
  return waitsBody(services, await runBy(services, authority, runId), mayRead)
}

/** The same from a run that has been read. */
export async function waitsBody(services: Services, details: RunDetails, mayRead = true): Promise<Record<string, unknown> | null> {
  const { run, waits } = details
  if (waits === null || (run.state !== 'awaiting_approval' && run.wait?.kind !== 'external')) return null
  if (!mayRead) return unreadWaits(waits)
  const { agentUid, template } = run
  const externalCalls = await Promise.all(
    waits.externalCalls.map(async (call) => ({
      ...call,
      callbackUrl: await callbackUrl(services, { callId: call.callId, agentUid, template, tool: call.tool }),
    })),
  )
  return { approvals: waits.approvals, externalCalls }
}

/** Where the result of a call that waits outside is sent: signed, and good for one result. */
export async function callbackUrl(
  services: Pick<Services, 'config'>,
  call: { callId: string; agentUid: AgentUid; template: string; tool: string },
): Promise<string> {
  const token = await signCallToken(call, services.config.encryptionKey)
  return `${services.config.baseUrl ?? ''}/api/tool-calls/${call.callId}/result?token=${token}`
}
