import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from '#local/node-http'

/**
 * Holds a bare connection to the server for a while; false when nobody listens or the server ended it.
 * So a killed server is noticed at once, even one that comes back quickly, and no request shows in its log.
 */
export function staysConnected(baseUrl: string, forMs: number): Promise<boolean> {
  const { hostname, port, protocol } = new URL(baseUrl)
  return new Promise((resolve) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || (protocol === 'https:' ? 443 : 80) })
    const finish = (connected: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(connected)
    }
    const timer = setTimeout(() => finish(true), forMs)
    socket.once('error', () => finish(false))
    socket.once('close', () => finish(false))
  })
}

const ASK_EVERY_MS = 3_000
const PATIENCE_MS = 5_000

/** Whether the server gives any HTTP answer in time. */
function answers(baseUrl: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request(new URL('/api/health/live', baseUrl), { agent: false, signal: AbortSignal.timeout(PATIENCE_MS) })
    asked.on('error', () => resolve(false))
    asked.on('response', (answer) => {
      answer.resume()
      resolve(true)
    })
    asked.end()
  })
}

/**
 * Does work that hangs on a server and gives it up when the server has fallen silent: a process that is frozen keeps its connections,
 * and what is due must go to another one. Inngest's own bound is the function's duration.
 */
export async function whileItAnswers<Result>(baseUrl: string, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const silent = new AbortController()
  const done = new AbortController()
  async function watch(): Promise<void> {
    while (!done.signal.aborted) {
      await sleep(ASK_EVERY_MS, undefined, { signal: done.signal, ref: false }).catch(() => undefined) // the work is done
      if (!done.signal.aborted && !(await answers(baseUrl))) return silent.abort()
    }
  }
  void watch() // it cannot fail: neither of its awaits rejects
  try {
    return await work(silent.signal)
  } finally {
    done.abort()
  }
}
