import type { Config } from '#lib/core/config'
import { reasonOf } from '#lib/core/errors'
import type { Health, HealthStatus } from '#lib/core/health'
import type { Store } from '#lib/core/pages'
import type { Clock, Ids, Log } from '#lib/core/ports'
import { sendAlert } from '#lib/webhooks/alert'

/** What people on call are sent: one line of text a cause and ten minutes. */
export interface Alerts {
  /** Sends the lines that a sweep has taken. Never rejects. */
  tell(lines: readonly string[]): Promise<void>
  /** Sends a line when health has changed since any process last looked. Never rejects. */
  health(health: Health): Promise<void>
}

/** While the database is away a process tells a status so often at most: nobody else can be asked. */
const quietMs = 600_000

interface Needs {
  config: Pick<Config, 'environment' | 'alertWebhook' | 'local'>
  store: Pick<Store, 'tellHealth'>
  clock: Clock
  ids: Ids
  log: Log
}

/** Makes the alerts of a process; without BATON_ALERT_WEBHOOK nothing is sent. */
export function createAlerts({ config, store, clock, ids, log }: Needs): Alerts {
  const { environment, alertWebhook: url, local } = config
  let last: HealthStatus | null = null
  /** What this process has told by itself, because the database was away. */
  const toldAlone = new Map<HealthStatus, number>()

  async function send(text: string): Promise<void> {
    if (url === null) return
    const { ok, error } = await sendAlert({ url, text, id: ids.make('alert'), now: clock.now(), local })
    if (!ok) log.warn('an alert was not taken', { text, error })
  }

  /** True when this process shall tell. */
  async function isNews(status: HealthStatus, text: string): Promise<boolean> {
    try {
      const { send: news } = await store.tellHealth({ environment, status, text })
      // What was told without the database, it does not know: the end of it is told by who told the beginning.
      const alone = toldAlone.size > 0
      toldAlone.clear()
      return news || alone
    } catch (error) {
      const before = toldAlone.get(status)
      if (before !== undefined && clock.monotonic() - before < quietMs) return false
      toldAlone.set(status, clock.monotonic())
      log.warn('a change of health is told without the database', { status, error: reasonOf(error) })
      return true
    }
  }

  return {
    async tell(lines) {
      for (const line of lines) await send(line)
    },
    async health({ status, causes }) {
      if (url === null || status === last) return
      const text = `Baton (${environment}) is ${status}${causes.length === 0 ? '.' : `: ${causes.join(' ')}`}`
      last = status
      if (await isNews(status, text)) await send(text)
    },
  }
}
