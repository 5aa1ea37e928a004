import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startStack, type Stack } from '#local/stack'
import { startProxy, type Proxy } from '#tests/proxy'
import { post } from '#bench/caller'
import { fillHistory } from '#bench/history'
import { plainTurn } from '#bench/scripts'
import { openWal, type Wal } from '#bench/wal'

/** Baton as a stranger runs it: the built server on the local stack, in a folder of its own. */
export interface Stand {
  stack: Stack
  wal: Wal
  /** What stands between the servers and Supabase's API and counts; null where times are taken. */
  proxy: Proxy | null
  /** Sends a message to an agent and answers with the milliseconds until the answer was read. */
  send: (agent: string, message: string, prefer?: string) => Promise<number>
  /** An agent with so many earlier messages of 1 KB. */
  withHistory: (agent: string, messages: number) => Promise<void>
  close: () => Promise<void>
}

/** Starts it and warms it. `counted`: with the proxy, whose own time is then in every trip. */
export async function startStand({ counted }: { counted: boolean }): Promise<Stand> {
  const dataDir = await mkdtemp(join(tmpdir(), 'baton-bench-'))
  let door = ''
  const proxy = counted ? await startProxy(() => door) : null
  const env = proxy === null ? {} : { SUPABASE_URL: proxy.url }
  const stack = await startStack({ built: true, port: 0, quiet: true, dataDir, env })
  door = String(stack.info.supabaseUrl)
  const wal = openWal(String(stack.info.databaseUrl))
  const send: Stand['send'] = async (agent, message, prefer = 'wait=25') =>
    (await post(`${stack.info.baseUrls[0]}/api/agents/${agent}/messages`, { message, template: 'scripted' }, { prefer })).ms
  for (let at = 0; at < 20; at++) await send('warm', plainTurn)
  return {
    stack,
    wal,
    proxy,
    send,
    async withHistory(agent, messages) {
      await send(agent, plainTurn)
      if (messages > 0) await fillHistory(wal.pool, agent, messages)
    },
    async close() {
      await wal.close()
      await stack.stop()
      await proxy?.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
