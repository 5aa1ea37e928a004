import { isObject, rowsOf, type Row } from '#tests/crash/normal'
import type { Snapshot } from '#tests/crash/snapshot'

/** Events of slices go away, and every number that counts them or events with them; what is left counts the rest. */
export function slices(snapshot: Snapshot): number {
  const events = rowsOf(snapshot, 'events')
  const isOfSlices = (row: Row): boolean => row['type'] === 'resumed' || row['type'] === 'handed_off'
  const kept = events.filter((row) => !isOfSlices(row))
  const place = (seq: unknown): number => kept.filter((row) => Number(row['seq']) <= Number(seq)).length
  const resumed = events.filter((row) => row['type'] === 'resumed')
  for (const row of rowsOf(snapshot, 'agents')) {
    row['lease_epoch'] = Number(row['lease_epoch']) - resumed.length
    row['last_event_seq'] = place(row['last_event_seq'])
    const answer = row['last_answer']
    if (isObject(answer)) for (const key of ['firstSeq', 'lastSeq']) answer[key] = place(answer[key])
  }
  for (const row of rowsOf(snapshot, 'runs')) {
    row['slices'] = Number(row['slices']) - resumed.filter((event) => event['run_id'] === row['run_id']).length
    row['first_event_seq'] = place(row['first_event_seq'])
  }
  for (const [name, rows] of Object.entries(snapshot)) if (name !== 'agents') for (const row of rows) withoutEpochs(row)
  for (const { body } of rowsOf(snapshot, 'webhooks'))
    if (isObject(body) && isObject(body['data'])) body['data']['lastSeq'] = place(body['data']['lastSeq'])
  for (const { payload } of rowsOf(snapshot, 'webhook_deliveries'))
    if (isObject(payload) && isObject(payload['data'])) payload['data']['lastSeq'] = place(payload['data']['lastSeq'])
  for (const row of kept) row['seq'] = place(row['seq'])
  snapshot['events'] = kept
  return resumed.length
}

function withoutEpochs(value: unknown): void {
  if (Array.isArray(value)) value.forEach(withoutEpochs)
  else if (isObject(value)) {
    delete value['epoch']
    Object.values(value).forEach(withoutEpochs)
  }
}

/** Continuations may be sent any number of times, and each must have been: their rows say only that. */
export function continuations(snapshot: Snapshot): void {
  const rows = rowsOf(snapshot, 'outbox')
  snapshot['outbox'] = [
    ...new Map(rows.filter((row) => row['kind'] === 'webhook').map((row) => [JSON.stringify(row['data']), row])).values(),
    ...rows.filter((row) => row['sent_at'] === null),
  ]
}

/** What only an act without an executor leaves: an epoch that no slice began, a crash that no commit took back, the answer of an older commit. */
export function crashes(clean: Snapshot, crashed: Snapshot): number {
  let times = 0
  for (const [index, run] of rowsOf(crashed, 'runs').entries()) {
    const before = rowsOf(clean, 'runs')[index]
    if (run['crashes'] !== 1 || before?.['crashes'] !== 0 || run['state'] === 'completed') continue
    run['crashes'] = 0
    times += 1
  }
  const [agent] = rowsOf(crashed, 'agents')
  const [before] = rowsOf(clean, 'agents')
  if (agent === undefined || before === undefined) return times
  const resumed = (snapshot: Snapshot): number => rowsOf(snapshot, 'events').filter((row) => row['type'] === 'resumed').length
  const moved = Number(agent['lease_epoch']) - resumed(crashed) - (Number(before['lease_epoch']) - resumed(clean))
  if (moved === 1) {
    agent['lease_epoch'] = Number(agent['lease_epoch']) - 1
    times += 1
    for (const row of [...rowsOf(clean, 'audit'), ...rowsOf(crashed, 'audit')])
      if ((row['action'] === 'run.interrupt' || row['action'] === 'message.accept') && isObject(row['data'])) delete row['data']['state']
    const answer = agent['last_answer']
    if (isObject(answer) && answer['released'] === false) agent['last_answer'] = before['last_answer'] = null
  }
  return times
}

/** The second crash of one step is followed by a wait: two events and an epoch tell of it, and its crashes stay counted where the run then ends. */
export function waited(clean: Snapshot, crashed: Snapshot): number {
  const waits = (snapshot: Snapshot): Row[] =>
    rowsOf(snapshot, 'events').filter(({ type, data }) => type === 'state_changed' && isObject(data) && data['waitKind'] === 'retry')
  const more = waits(crashed).slice(waits(clean).length)
  for (const wait of more) {
    const events = rowsOf(crashed, 'events')
    const from = events.indexOf(wait)
    const to = events.findIndex((row, index) => index > from && row['type'] === 'state_changed')
    crashed['events'] = events.filter((_row, index) => index !== from && index !== to)
  }
  // The wait takes the lease from the dead, and no slice begins with it.
  for (const agent of rowsOf(crashed, 'agents')) agent['lease_epoch'] = Number(agent['lease_epoch']) - more.length
  for (const [index, run] of rowsOf(crashed, 'runs').entries()) {
    const counted = Number(run['crashes']) - Number(rowsOf(clean, 'runs')[index]?.['crashes'])
    if (counted >= more.length) run['crashes'] = Number(run['crashes']) - more.length
  }
  return more.length
}

/** Entries of those who act at the same time, a caller and an executor, stand in any order. */
export function sortedAudit(snapshot: Snapshot): void {
  const order = (row: Row): string => JSON.stringify([row['run_id'], row['action'], row['data']])
  snapshot['audit'] = rowsOf(snapshot, 'audit').toSorted((a, b) => order(a).localeCompare(order(b)))
}

/** Audit entries that say the same as another one of a request that changed nothing, or of a reservation that was refused before. */
export function askedAgain(clean: Snapshot, crashed: Snapshot): number {
  const again = new Set(['switch.set', 'switch.lift', 'run.interrupt', 'run.cancel', 'budget.set'])
  const key = (row: Row): string => JSON.stringify([row['action'], row['scope'], row['decision'], row['run_id']])
  const isRepeatable = (row: Row): boolean =>
    again.has(String(row['action'])) || (row['action'] === 'model.call' && row['decision'] === 'refused')
  let times = 0
  const left = new Map<string, number>()
  for (const row of rowsOf(clean, 'audit')) left.set(key(row), (left.get(key(row)) ?? 0) + 1)
  crashed['audit'] = rowsOf(crashed, 'audit').filter((row) => {
    const most = left.get(key(row)) ?? 0
    left.set(key(row), most - 1)
    if (most > 0 || !isRepeatable(row) || !rowsOf(clean, 'audit').some((one) => key(one) === key(row))) return true
    times += 1
    return false
  })
  return times
}

/** Ends of calls that are told one after the other stand in the order of the calls: outcomes that wait together may come in any. */
export function endsOfCallsInOrder(snapshot: Snapshot): void {
  const events = rowsOf(snapshot, 'events')
  const idOf = (row: Row): string => (isObject(row['data']) && isObject(row['data']['call']) ? String(row['data']['call']['callId']) : '')
  for (let from = 0; from < events.length; from++) {
    let to = from
    while (events[to]?.['type'] === 'tool_end' && events[to]?.['step'] === events[from]?.['step']) to += 1
    if (to - from < 2) continue
    const some = events.slice(from, to).toSorted((a, b) => idOf(a).localeCompare(idOf(b)))
    const places = events.slice(from, to).map((row) => row['seq'])
    some.forEach((row, index) => (row['seq'] = places[index]))
    events.splice(from, to - from, ...some)
    from = to
  }
}

/** The hold and the end of a tool, in the other order. */
export function heldFirst(clean: Snapshot, crashed: Snapshot): number {
  const types = (snapshot: Snapshot): string[] => rowsOf(snapshot, 'events').map((row) => String(row['type']))
  if (!types(clean).includes('held') || types(clean).join() === types(crashed).join()) return 0
  const place = (snapshot: Snapshot): number => types(snapshot).indexOf('tool_end')
  if (place(crashed) <= types(crashed).indexOf('held') || place(clean) > types(clean).indexOf('held')) return 0
  const events = rowsOf(crashed, 'events')
  events.splice(place(clean), 0, ...events.splice(place(crashed), 1))
  for (const [index, row] of events.entries()) row['seq'] = index + 1
  return 1
}
