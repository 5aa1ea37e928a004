import { connect } from 'node:net'

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
