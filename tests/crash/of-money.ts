import { isObject, rowsOf, type Row } from '#tests/crash/normal'
import type { Snapshot } from '#tests/crash/snapshot'

/** Reservations of the dead that were booked as estimated, with all that they cost. */
export function paidAgain(clean: Snapshot, crashed: Snapshot): number {
  const estimated = (snapshot: Snapshot, run: unknown): Row[] =>
    rowsOf(snapshot, 'reservations').filter((row) => row['run_id'] === run && row['state'] === 'estimated')
  let times = 0
  for (const run of rowsOf(crashed, 'runs')) {
    const more = estimated(crashed, run['run_id']).slice(
      0,
      Math.max(0, estimated(crashed, run['run_id']).length - estimated(clean, run['run_id']).length),
    )
    if (more.length === 0) continue
    times += more.length
    const micros = more.reduce((sum, row) => sum + Number(row['cost_micros']), 0)
    const tokens = more.reduce((sum, row) => sum + Number(row['tokens']), 0)
    crashed['reservations'] = rowsOf(crashed, 'reservations').filter((row) => !more.includes(row))
    // One audit entry tells of each, and of no usage.
    for (const row of more) {
      const entry = rowsOf(crashed, 'audit').findIndex(
        (line) =>
          line['code'] === 'estimated' &&
          line['run_id'] === row['run_id'] &&
          isObject(line['data']) &&
          line['data']['step'] === row['step'],
      )
      if (entry >= 0) {
        rowsOf(crashed, 'audit').splice(entry, 1)
        for (const line of rowsOf(crashed, 'audit').slice(entry))
          if (line['run_id'] === row['run_id']) spentLess(line, Number(row['cost_micros']))
      }
      const calls = (snapshot: Snapshot): Row[] =>
        rowsOf(snapshot, 'effects').filter(
          (line) => line['kind'] === 'model' && line['runId'] === row['run_id'] && line['step'] === row['step'],
        )
      const [made] = calls(crashed)
      if (made !== undefined && calls(crashed).length > calls(clean).length)
        rowsOf(crashed, 'effects').splice(rowsOf(crashed, 'effects').indexOf(made), 1)
    }
    run['cost_micros'] = Number(run['cost_micros']) - micros
    spentLess(run['error'], micros)
    const bodies = [
      ...rowsOf(crashed, 'events')
        .filter((row) => row['type'] === 'done' && row['run_id'] === run['run_id'])
        .map((row) => row['data']),
      ...rowsOf(crashed, 'webhook_deliveries')
        .filter((row) => row['run_id'] === run['run_id'])
        .map((row) => (row['payload'] as Row)['data']),
      ...rowsOf(crashed, 'webhooks')
        .map((row) => (row['body'] as Row)['data'])
        .filter((data) => isObject(data) && data['runId'] === run['run_id']),
    ]
    for (const body of bodies) {
      if (isObject(body) && body['costMicros'] !== undefined) body['costMicros'] = Number(body['costMicros']) - micros
      if (isObject(body)) spentLess(body['error'], micros)
    }
    for (const event of rowsOf(crashed, 'events'))
      if ((event['type'] === 'run_error' || event['type'] === 'budget') && event['run_id'] === run['run_id'])
        spentLess(event['data'], micros)
    for (const counter of rowsOf(crashed, 'budget_counters')) {
      counter['spent_micros'] = Number(counter['spent_micros']) - micros
      counter['tokens'] = Number(counter['tokens']) - tokens
      counter['calls'] = Number(counter['calls']) - more.length
    }
  }
  return times
}

/** Takes reservations away that have cost nothing, and says how many there were. */
export function unused(snapshot: Snapshot): number {
  const all = rowsOf(snapshot, 'reservations')
  snapshot['reservations'] = all.filter((row) => row['state'] !== 'settled' || row['cost_micros'] !== 0)
  return all.length - snapshot['reservations'].length
}

/** What a refusal says of money that was spent before it. */
function spentLess(value: unknown, micros: number): void {
  if (!isObject(value)) return
  for (const key of ['spentMicros', 'total_micros']) if (typeof value[key] === 'number') value[key] -= micros
  if (typeof value['message'] === 'string')
    value['message'] = value['message'].replace(/(?<=of which )\d+/, (spent) => String(Number(spent) - micros))
  spentLess(value['details'], micros)
  spentLess(value['data'], micros)
}
