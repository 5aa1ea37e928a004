import { AsyncLocalStorage } from 'node:async_hooks'
import type { Inngest } from 'inngest'
import type { Config } from '#lib/core/config'
import { reasonOf } from '#lib/core/errors'
import type { Log, OutboxRow, Queue } from '#lib/core/ports'
import { type ContinueData, eventData, type EventName, eventNames, type WebhookData } from '#lib/queue/events'

const timeoutMs = 3_000
const mostPerRequest = 100

interface Needs {
  inngest: Config['inngest']
  log: Log
  /** The clock that Inngest goes by, in milliseconds since the epoch; only the local mode moves it. */
  now?: () => number
}

interface Event {
  id: string
  name: EventName
  data: ContinueData | WebhookData
  ts?: number
}

/**
 * Makes the Queue port over Inngest; the SDK is loaded with the first row (135 ms of cold start).
 * `send` throws when Inngest does not take all rows within 3 s a request; sending them again under the same ids does no harm.
 */
export function createQueue({ inngest, log, now = Date.now }: Needs): Queue {
  const deadline = new AsyncLocalStorage<AbortSignal>()
  let client: Promise<Inngest> | null = null
  return {
    async send(rows) {
      const events = rows.flatMap((row) => toEvent(row, now, log) ?? [])
      if (events.length === 0) return
      client ??= load(inngest, log, deadline)
      const sender = await client
      for (let at = 0; at < events.length; at += mostPerRequest) {
        const some = events.slice(at, at + mostPerRequest)
        try {
          await within(timeoutMs, deadline, () => sender.send(some))
        } catch (cause) {
          throw new Error(
            `Inngest did not take ${events.length - at} of ${events.length} events (${reason(cause)}). Their rows stay in the outbox and are sent again.`,
            { cause },
          )
        }
      }
    },
  }
}

/** The event of a row; null for a row that no event can be made of: it must not keep the others from being sent. */
function toEvent(row: OutboxRow, now: () => number, log: Log): Event | null {
  const data = eventData[row.kind].safeParse(row.data)
  if (!data.success) {
    log.error('An outbox row is not complete and is passed over', {
      rowId: row.id,
      kind: row.kind,
      missing: data.error.issues.map((issue) => issue.path.join('.')),
    })
    return null
  }
  return { id: row.id, name: eventNames[row.kind], data: data.data, ...(row.dueInMs > 0 && { ts: now() + Math.ceil(row.dueInMs) }) }
}

async function load(inngest: Config['inngest'], log: Log, deadline: AsyncLocalStorage<AbortSignal>): Promise<Inngest> {
  const { Inngest } = await import('inngest')
  return new Inngest({
    id: inngest.appId,
    // Said explicitly: the SDK would otherwise guess cloud or dev from the environment, and local events would leave the machine.
    isDev: inngest.dev !== null,
    ...(inngest.dev !== null && isUrl(inngest.dev) && { baseUrl: inngest.dev }),
    ...(inngest.eventKey !== null && { eventKey: inngest.eventKey }),
    logger: sdkLogger(log),
    // The SDK has no time-out and tries 5 times; after the deadline each further try ends at once, with the words that the SDK does not log.
    fetch: (input, init) => {
      const signal = deadline.getStore() ?? AbortSignal.timeout(timeoutMs)
      return signal.aborted ? Promise.reject(new Error('fetch failed: its time is over')) : fetch(input, { ...init, signal })
    },
  })
}

/** Runs the work under a deadline that its requests see; rejects at the deadline even if the work goes on. */
async function within<Value>(ms: number, deadline: AsyncLocalStorage<AbortSignal>, work: () => Promise<Value>): Promise<Value> {
  const timer = new AbortController()
  let handle: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    handle = setTimeout(() => {
      const error = new Error(`no answer within ${ms} ms`)
      timer.abort(error)
      reject(error)
    }, ms)
  })
  try {
    return await Promise.race([deadline.run(timer.signal, work), late])
  } finally {
    clearTimeout(handle)
  }
}

/** A logger for the SDK, whose own would write to the console past the redaction. */
export function sdkLogger(log: Pick<Log, 'warn' | 'error'>) {
  const text = (...parts: unknown[]) =>
    parts
      .map(said)
      .filter((part) => part !== '')
      .join(' ')
  return {
    // Its debug and info lines tell nothing that Baton does not log itself.
    debug: () => undefined,
    info: () => undefined,
    warn: (first: unknown, second?: unknown) => log.warn('Inngest SDK', { text: text(first, second) }),
    error: (first: unknown, second?: unknown) => log.error('Inngest SDK', { text: text(first, second) }),
  }
}

/** What a part of the SDK's line says: of an object only its error. */
function said(part: unknown): string {
  if (typeof part === 'string') return part
  if (part instanceof Error) return reasonOf(part)
  const inner =
    typeof part === 'object' && part !== null ? ('err' in part ? part.err : 'error' in part ? part.error : undefined) : undefined
  return inner === undefined || inner === part ? '' : said(inner)
}

/** The first line of what happened, without the pages of advice the SDK adds. */
function reason(cause: unknown): string {
  const line = cause instanceof Error ? cause.message.split('\n')[0] : undefined
  const behind = cause instanceof Error && cause.cause !== undefined ? ` (${reasonOf(cause.cause)})` : ''
  return `${line ?? 'unknown error'}${behind}`.slice(0, 200)
}

function isUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:/.test(text)
}
