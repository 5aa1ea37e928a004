import type { Config } from '#lib/core/config'
import { reasonOf } from '#lib/core/errors'
import type { Health, HealthStatus } from '#lib/core/health'
import type { AlertLine } from '#lib/core/monitor-store'
import type { Store } from '#lib/core/pages'
import type { Clock, Ids, Log } from '#lib/core/ports'
import { sendAlert } from '#lib/webhooks/alert'

/** What people on call are sent: one line of text a cause and ten minutes. */
export interface Alerts {
  /** Sends the lines that a sweep was given; those that the channel cannot take now are given to a later one. Never rejects. */
  tell(lines: readonly AlertLine[]): Promise<void>
  /** Sends a line when health has changed since any process last looked. Never rejects. */
  health(health: Health): Promise<void>
}

/** A process that has said what it saw asks again after so long: others have looked since, and told the end of it. */
const rememberMs = 60_000
/** While the database is away a process tells a status so often at most: nobody else can be asked. */
const quietMs = 600_000

interface Needs {
  config: Pick<Config, 'environment' | 'alertWebhook' | 'local'>
  store: Pick<Store, 'tellHealth' | 'alertsTold'>
  clock: Clock
  ids: Ids
  log: Log
}

/** Makes the alerts of a process; without BATON_ALERT_WEBHOOK nothing is sent. */
export function createAlerts({ config, store, clock, ids, log }: Needs): Alerts {
  const { environment, alertWebhook: url, local } = config
  let last: { status: HealthStatus; at: number } | null = null
  /** What this process has told by itself, because the database was away. */
  const toldAlone = new Map<HealthStatus, number>()

  /** False when the channel may take the line later. */
  async function isDone(text: string): Promise<boolean> {
    if (url === null) return true
    const { ok, again, error } = await sendAlert({ url, text, id: ids.make('alert'), now: clock.now(), local })
    if (!ok) log.warn('an alert was not taken', { text, error, again })
    return !again
  }

  async function tell(lines: readonly AlertLine[]): Promise<void> {
    const causes: string[] = []
    for (const { cause, text } of lines) {
      // The others would wait for their time-outs one after the other.
      if (!(await isDone(text))) break
      causes.push(cause)
    }
    if (causes.length === 0) return
    // Who cannot say it is asked again: a line told twice is better than one that nobody got.
    await store
      .alertsTold({ environment, causes })
      .catch((error: unknown) => log.warn('that alerts were told could not be kept', { error: reasonOf(error) }))
  }

  /** Whether this process shall tell, and whether the database knows of it; `same`: it has seen no other status since. */
  async function newsOf(status: HealthStatus, text: string, same: boolean): Promise<'none' | 'kept' | 'alone'> {
    try {
      const { send: news } = await store.tellHealth({ environment, status, text })
      // What was told without the database, it does not know: the end of it is told by who told the beginning.
      const alone = toldAlone.size > 0
      toldAlone.clear()
      return news || alone ? 'kept' : 'none'
    } catch (error) {
      const before = toldAlone.get(status)
      if (before !== undefined && (same || clock.monotonic() - before < quietMs)) return 'none'
      toldAlone.set(status, clock.monotonic())
      log.warn('a change of health is told without the database', { status, error: reasonOf(error) })
      return 'alone'
    }
  }

  return {
    tell,
    async health({ status, causes }) {
      const same = last?.status === status
      const at = clock.monotonic()
      if (url === null || (same && at - (last?.at ?? 0) < rememberMs)) return
      const text = `Baton (${environment}) is ${status}${causes.length === 0 ? '.' : `: ${causes.join(' ')}`}`
      last = { status, at }
      const news = await newsOf(status, text, same)
      if (news === 'alone') await isDone(text)
      else if (news === 'kept') await tell([{ cause: `health:${status}`, text }])
    },
  }
}
