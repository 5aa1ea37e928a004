import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Inngest } from 'inngest'
import { poll } from '#local/poll'
import { portClaims } from '#local/ports'

/** A real Inngest server to run the contract against, instead of the executor. */
export const REAL_INNGEST = process.env['INNGEST_CONTRACT_URL']
/** How long to wait for something to happen: a real Inngest retries after 15 to 45 s. */
export const PATIENCE_MS = REAL_INNGEST === undefined ? 40_000 : 120_000

/** The keys of every world. */
export const CONTRACT_KEYS = { event: 'contract-event-key', signing: 'signkey-test-0123456789abcdef0123456789abcdef' }

/** A line that a function of the contract app noted. */
export interface Note {
  readonly what: string
  readonly key: unknown
  readonly pid: number
  readonly at: number
  readonly [more: string]: unknown
}

/** How a world differs from the usual one. */
export interface WorldOptions {
  readonly servers?: number
  /** Extra environment of the app servers. */
  readonly app?: Readonly<Record<string, string>>
  /** False starts the app servers in cloud mode, where the SDK checks signatures. */
  readonly devMode?: boolean
}

/** A port on which nobody listens, and which no stack and no other test takes before it is bound, or while its part is started again. */
export const freePort = (): Promise<number> => portClaims().take(0)

/** App servers and an executor (or a real Inngest) as processes, with what the functions noted. */
export class World {
  readonly directory = mkdtempSync(join(tmpdir(), 'baton-executor-'))
  readonly logFile = join(this.directory, 'notes.jsonl')
  readonly appUrls: string[] = []
  readonly appProcesses: ChildProcess[] = []
  inngestUrl = ''
  executor: ChildProcess | null = null
  executorOutput = ''
  client = new Inngest({ id: 'sender', isDev: true, eventKey: CONTRACT_KEYS.event })
  readonly #options: WorldOptions

  /** Prepares a world; `start` makes its processes. */
  constructor(options: WorldOptions = {}) {
    this.#options = options
    writeFileSync(this.logFile, '')
  }

  /** Starts everything and waits until the functions are registered. */
  async start(): Promise<this> {
    const executorPort = await freePort()
    this.inngestUrl = REAL_INNGEST ?? `http://127.0.0.1:${executorPort}`
    this.client = new Inngest({ id: 'sender', isDev: true, baseUrl: this.inngestUrl, eventKey: CONTRACT_KEYS.event })
    for (let index = 0; index < (this.#options.servers ?? 1); index += 1) {
      this.appUrls.push(`http://127.0.0.1:${await freePort()}`)
      this.startApp(index)
    }
    if (REAL_INNGEST === undefined) this.startExecutor()
    await this.ready()
    return this
  }

  /** Starts the n-th app server; `extra` is added to its environment. */
  startApp(index: number, extra: Readonly<Record<string, string>> = {}): void {
    const target = this.#options.devMode === false ? { INNGEST_BASE_URL: this.inngestUrl } : { INNGEST_DEV: this.inngestUrl }
    const env = {
      NODE_ENV: 'test' as const,
      PATH: process.env['PATH'],
      APP_PORT: new URL(this.appUrls[index] ?? '').port,
      LOG_FILE: this.logFile,
      INNGEST_EVENT_KEY: CONTRACT_KEYS.event,
      INNGEST_SIGNING_KEY: CONTRACT_KEYS.signing,
      ...target,
      ...this.#options.app,
      ...extra,
    }
    this.appProcesses[index] = spawn(process.execPath, [join(import.meta.dirname, 'contract-app.ts')], {
      env,
      stdio: ['ignore', 'inherit', 'inherit'],
    })
  }

  /** Starts the executor's process on the port of this world. */
  startExecutor(): void {
    const env = {
      NODE_ENV: 'test' as const,
      PATH: process.env['PATH'],
      EXECUTOR_PORT: new URL(this.inngestUrl).port,
      EXECUTOR_APP_URLS: this.appUrls.join(','),
      EXECUTOR_EVENT_KEY: CONTRACT_KEYS.event,
      EXECUTOR_SIGNING_KEY: CONTRACT_KEYS.signing,
    }
    const entry = join(import.meta.dirname, '..', 'parts', 'executor.ts')
    this.executor = spawn(process.execPath, [entry], { env, stdio: ['ignore', 'ignore', 'pipe'] })
    this.executor.stderr?.on('data', (chunk: Buffer) => {
      this.executorOutput = (this.executorOutput + chunk.toString()).slice(-20_000)
    })
  }

  /** Waits until every app server has registered. */
  async ready(): Promise<void> {
    const registered = async (): Promise<boolean> => {
      if (REAL_INNGEST === undefined) return (await this.state()).servers.every(({ live }) => live)
      const answers = await Promise.all(
        this.appUrls.map((url) => fetch(`${url}/api/inngest`, { method: 'PUT', signal: AbortSignal.timeout(20_000) })),
      )
      return answers.every(({ ok }) => ok)
    }
    await this.until('all servers registered', () => registered().catch(() => false))
  }

  /** Kills the n-th app server as a crash would, and waits until it is gone. */
  async kill(index: number): Promise<void> {
    const child = this.appProcesses[index]
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** Calls the executor's own API and returns the JSON it answers. */
  async control(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${this.inngestUrl}${path}`, {
      method,
      signal: AbortSignal.timeout(20_000),
      ...(body ? { headers, body: JSON.stringify(body) } : {}),
    })
    return (await response.json()) as Record<string, unknown>
  }

  /** GET /state. */
  async state(): Promise<{
    scheduled: number
    pending: number
    servers: { live: boolean; problem: string | null }[]
    [field: string]: unknown
  }> {
    return (await this.control('GET', '/state')) as Awaited<ReturnType<World['state']>>
  }

  /** What was noted of one kind, for one key. */
  notes(what: string, key?: unknown): Note[] {
    // What stands behind the last end of a line is being written.
    const lines = readFileSync(this.logFile, 'utf8').split('\n').slice(0, -1)
    const all = lines.map((line) => JSON.parse(line) as Note)
    return all.filter((note) => note.what === what && (key === undefined || note.key === key))
  }

  /** Waits until the question is true; throws with the executor's last words when it does not come true in time. */
  async until(what: string, question: () => boolean | Promise<boolean>): Promise<void> {
    if (await poll(question, { everyMs: 20, forMs: PATIENCE_MS })) return
    const state = REAL_INNGEST === undefined && this.executor ? await this.state().catch((error: unknown) => String(error)) : ''
    throw new Error(
      `waited in vain for: ${what}\n${this.executorOutput}\n${JSON.stringify(state)}\n${readFileSync(this.logFile, 'utf8').slice(-3000)}`,
    )
  }

  /** Waits for a number of notes and returns them. */
  async noted(what: string, key: unknown, count = 1): Promise<Note[]> {
    await this.until(`${count} of ${what} for ${String(key)}`, () => this.notes(what, key).length >= count)
    return this.notes(what, key)
  }

  /** Stops every process and removes the notes. */
  async stop(): Promise<void> {
    const children = [...this.appProcesses, ...(this.executor ? [this.executor] : [])]
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    rmSync(this.directory, { recursive: true, force: true })
  }
}
