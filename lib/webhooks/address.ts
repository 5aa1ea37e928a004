import { isIP } from 'node:net'
import { BatonError } from '#lib/core/errors'
import { isPublicAddress } from '#lib/webhooks/ranges'

const longest = 2_048
const innerNames = ['localhost', 'local', 'internal', 'intranet', 'lan', 'home', 'corp', 'home.arpa', 'test', 'invalid', 'onion']

/**
 * Checks a webhook address when it is accepted and answers it as it will be called. Throws `webhook_refused` with what to do.
 * This is the early, clear answer; the guard that cannot be talked round looks at the address after DNS, at each delivery.
 */
export function checkWebhookAddress(text: string, { local }: { local: boolean }): URL {
  if (text.length > longest) throw refused(`is longer than ${longest} characters`, 'use a shorter one')
  if (!URL.canParse(text)) throw refused('is not a URL', 'give an absolute one, such as https://example.com/hooks/baton')
  const url = new URL(text)
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  const loopback = isLoopback(host)
  if (url.username !== '' || url.password !== '')
    throw refused('holds credentials', 'leave them out; deliveries are signed, verify the signature instead')
  if (url.protocol !== 'https:' && !(local && loopback && url.protocol === 'http:')) {
    throw refused(`uses ${url.protocol.slice(0, -1)}`, 'use https; http is allowed only for loopback addresses in local mode')
  }
  if (host === '') throw refused('has no host', 'give one')
  if (!(local && loopback)) checkHost(host)
  checkPort(url.port, local && loopback)
  url.hash = ''
  return url
}

function checkHost(host: string) {
  if (isIP(host) !== 0) {
    if (!isPublicAddress(host)) throw refused('points to an address that is not public', 'use a host that is reachable from the Internet')
    return
  }
  const inner = innerNames.find((name) => host === name || host.endsWith(`.${name}`))
  if (inner !== undefined || !host.includes('.'))
    throw refused('names a host of a private network', 'use a host that is reachable from the Internet')
}

/** Ports below 1024 other than 443 belong to services that speak something else (SSH, SMTP, ...). */
function checkPort(port: string, anyPort: boolean) {
  const number = port === '' ? 443 : Number(port)
  if (number === 0 || (!anyPort && number < 1024 && number !== 443)) throw refused(`uses port ${port}`, 'use 443, or a port from 1024')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function refused(what: string, cure: string): BatonError {
  return new BatonError('webhook_refused', `The webhook address ${what}: ${cure}.`)
}
