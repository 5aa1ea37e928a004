import { isObject, rowsOf, type Row } from '#tests/crash/normal'
import type { Snapshot } from '#tests/crash/snapshot'

const callOf = (event: Row | undefined): unknown => (isObject(event?.['data']) ? event['data']['callId'] : undefined)

/** Further rounds in which a person was asked about an unknown outcome and had the call repeated: each leaves what the first one has left. */
export function personAskedAgain(clean: Snapshot, crashed: Snapshot): number {
  const asked = (snapshot: Snapshot, id: unknown): Row[] =>
    rowsOf(snapshot, 'approvals').filter((row) => row['call_id'] === id && row['kind'] === 'unknown_outcome')
  let times = 0
  for (const call of rowsOf(crashed, 'tool_calls')) {
    const id = call['call_id']
    const before = asked(clean, id)
    const more = asked(crashed, id).slice(before.length)
    if (before.length === 0 || more.length === 0 || more.some((row) => row['state'] !== 'allowed')) continue
    times += more.length
    crashed['approvals'] = rowsOf(crashed, 'approvals').filter((row) => !more.includes(row))
    call['attempts'] = Number(call['attempts']) - more.length
    const trail = call['audit'] as Row[]
    const rounds = trail.flatMap((entry, index) => (entry['state'] === 'approval_required' ? [index] : []))
    // A round is: asked, allowed, started.
    call['audit'] = trail.toSpliced(rounds[before.length] ?? trail.length, more.length * 3)
    for (const event of rowsOf(crashed, 'events')) {
      const told = isObject(event['data']) ? event['data']['call'] : undefined
      if (isObject(told) && told['callId'] === id) Object.assign(told, { attempts: call['attempts'], auditTrail: call['audit'] })
    }
    withoutRounds(crashed, id, before.length)
    withoutEntries(clean, crashed)
    const isOfRound = ({ call_id, data }: Row): boolean =>
      call_id === id && isObject(data) && Number(data['attempt']) > Number(call['attempts'])
    crashed['audit'] = rowsOf(crashed, 'audit').filter((row) => !isOfRound(row))
    const lines = (snapshot: Snapshot): Row[] => rowsOf(snapshot, 'effects').filter((line) => line['callId'] === id)
    const repeated = lines(crashed).slice(lines(clean).length)
    crashed['effects'] = rowsOf(crashed, 'effects').filter((line) => !repeated.includes(line))
  }
  return times
}

/** The events of later rounds go away: asked, paused, decided, at work again. */
function withoutRounds(crashed: Snapshot, id: unknown, rounds: number): void {
  let round = 0
  let follows = false
  crashed['events'] = rowsOf(crashed, 'events').filter((event) => {
    const type = event['type']
    const ofRound = (type === 'approval_required' || type === 'approval_decided') && callOf(event) === id
    if (type === 'approval_required' && ofRound) round += 1
    const changed = follows && type === 'state_changed'
    follows = ofRound || (follows && !changed)
    return round <= rounds || !(ofRound || changed)
  })
}

/** Audit entries of decisions and calls that say the same as one of the clean performance, beyond as many as it has. */
function withoutEntries(clean: Snapshot, crashed: Snapshot): void {
  const left = new Map<string, number>()
  for (const row of rowsOf(clean, 'audit')) left.set(JSON.stringify(row), (left.get(JSON.stringify(row)) ?? 0) + 1)
  crashed['audit'] = rowsOf(crashed, 'audit').filter((row) => {
    const key = JSON.stringify(row)
    const most = left.get(key)
    if (most === undefined || (row['action'] !== 'approval.decide' && row['action'] !== 'tool.call')) return true
    left.set(key, most - 1)
    return most > 0
  })
}

/** Calls that ended unknown in both, of which one had not begun: that is what nobody knows. */
export function neverBegun(clean: Snapshot, crashed: Snapshot): number {
  let times = 0
  for (const call of rowsOf(crashed, 'tool_calls')) {
    const id = call['call_id']
    const line = rowsOf(clean, 'effects').find((row) => row['callId'] === id)
    if (call['state'] !== 'sealed' || line === undefined || rowsOf(crashed, 'effects').some((row) => row['callId'] === id)) continue
    rowsOf(crashed, 'effects').push(line)
    times += 1
  }
  return times
}
