import { isObject, rowsOf, type Row } from '#tests/crash/normal'
import type { Snapshot } from '#tests/crash/snapshot'

/** Further starts of tools that may be repeated, in the trail of the call, in the event of its end and in the effects log. */
export function runAgain(crashed: Snapshot): number {
  let times = 0
  for (const call of rowsOf(crashed, 'tool_calls')) {
    if (call['effect'] !== 'pure' && call['effect'] !== 'idempotent') continue
    const more = Number(call['attempts']) - 1
    if (more <= 0) continue
    times += more
    call['attempts'] = 1
    call['audit'] = onceStarted(call['audit'] as Row[])
    for (const event of rowsOf(crashed, 'events')) {
      const told = isObject(event['data']) ? event['data']['call'] : undefined
      if (!isObject(told) || told['callId'] !== call['call_id']) continue
      told['attempts'] = 1
      told['auditTrail'] = onceStarted(told['auditTrail'] as Row[])
    }
    const lines = rowsOf(crashed, 'effects').filter((line) => line['callId'] === call['call_id'])
    if (lines.length > more + 1 || new Set(lines.map((line) => line['idempotencyKey'])).size > 1) continue
    crashed['effects'] = rowsOf(crashed, 'effects').filter((line) => !lines.slice(1).includes(line))
  }
  return times
}

function onceStarted(trail: readonly Row[]): Row[] {
  const first = trail.findIndex((entry) => entry['state'] === 'executing')
  return trail.filter((entry, index) => entry['state'] !== 'executing' || index === first)
}

/** Calls of once tools that are sealed where they were done in the clean performance: the record, what the model was told and the event. */
export function sealed(clean: Snapshot, crashed: Snapshot): number {
  let times = 0
  for (const call of rowsOf(crashed, 'tool_calls')) {
    const before = rowsOf(clean, 'tool_calls').find((row) => row['call_id'] === call['call_id'])
    if (before === undefined || call['effect'] !== 'once' || call['state'] !== 'sealed' || before['state'] === 'sealed') continue
    if (!/outcome of this call is unknown/.test(JSON.stringify(call['output']))) continue
    times += 1
    const id = call['call_id']
    for (const key of ['state', 'output', 'audit']) call[key] = before[key]
    for (const [index, message] of rowsOf(crashed, 'messages').entries()) {
      const parts = Array.isArray(message['content']) ? (message['content'] as Row[]) : []
      const part = parts.find((one) => one['type'] === 'tool-result' && one['toolCallId'] === id)
      const twin = rowsOf(clean, 'messages')[index]
      const twinPart = (Array.isArray(twin?.['content']) ? (twin['content'] as Row[]) : []).find(
        (one) => one['type'] === 'tool-result' && one['toolCallId'] === id,
      )
      if (part === undefined || twinPart === undefined || twin === undefined) continue
      part['output'] = twinPart['output']
      const tokens = Number(message['est_tokens']) - Number(twin['est_tokens'])
      message['bytes'] = twin['bytes']
      message['est_tokens'] = twin['est_tokens']
      for (const agent of rowsOf(crashed, 'agents')) agent['window_tokens'] = Number(agent['window_tokens']) - tokens
    }
    for (const event of rowsOf(crashed, 'events')) {
      const told = isObject(event['data']) ? event['data']['call'] : undefined
      const twin = rowsOf(clean, 'events').find(
        (row) =>
          row['type'] === 'tool_end' && isObject(row['data']) && isObject(row['data']['call']) && row['data']['call']['callId'] === id,
      )
      if (isObject(told) && told['callId'] === id && twin !== undefined) event['data'] = twin['data']
    }
    // It may have begun or not: that is what nobody knows. Twice is found by the invariants.
    const line = rowsOf(clean, 'effects').find((row) => row['callId'] === id)
    if (line !== undefined && !rowsOf(crashed, 'effects').some((row) => row['callId'] === id)) rowsOf(crashed, 'effects').push(line)
  }
  return times
}

/** Copies of a webhook under the same id, and the attempts whose outcome nobody recorded. */
export function toldAgain(clean: Snapshot, crashed: Snapshot): number {
  const arrivals = rowsOf(crashed, 'webhooks')
  crashed['webhooks'] = [...new Map(arrivals.map((row) => [JSON.stringify([row['id'], row['body']]), row])).values()]
  let times = 0
  for (const [index, row] of rowsOf(crashed, 'webhook_deliveries').entries()) {
    const more = Number(row['attempts']) - Number(rowsOf(clean, 'webhook_deliveries')[index]?.['attempts'])
    const log = row['log'] as Row[]
    const lost = log.filter((line) => /has died; its outcome is unknown/.test(String(line['error'])))
    if (more <= 0 || lost.length !== more) continue
    times += more
    row['attempts'] = Number(row['attempts']) - more
    row['log'] = log.filter((line) => !lost.includes(line)).map((line) => ({ ...line, attempt: Number(line['attempt']) - more }))
  }
  return times
}

export function sortedEffects(snapshot: Snapshot): void {
  snapshot['effects'] = rowsOf(snapshot, 'effects').toSorted((a, b) =>
    JSON.stringify([a['runId'], a['step'], a['kind'], a['callId']]).localeCompare(
      JSON.stringify([b['runId'], b['step'], b['kind'], b['callId']]),
    ),
  )
}
