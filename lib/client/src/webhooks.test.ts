import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { verifyWebhook, type HeadersLike } from '#client/webhooks'

const secret = `whsec_${btoa('0123456789abcdef0123456789abcdef')}`
const body = JSON.stringify({ type: 'run.completed', timestamp: '2026-11-21T00:00:00Z', data: { runId: 'run_1', output: 'Grüße 😀' } })
const at = new Date('2026-11-21T08:00:00Z')
const now = at.getTime()
/** What other people's library signs. */
const signed = (payload = body, by = secret, id = 'msg_1'): Record<string, string> => ({
  'webhook-id': id,
  'webhook-timestamp': String(now / 1_000),
  'webhook-signature': new Webhook(by).sign(id, at, payload),
})
const refused = (payload: string, headers: HeadersLike, by: string | string[] = secret, time = now): Promise<string> =>
  verifyWebhook(payload, headers, by, { now: time }).then(
    () => 'accepted',
    (error: { code: string }) => error.code,
  )

describe('verifyWebhook', () => {
  test('accepts what standardwebhooks has signed, as text and as bytes, with every kind of headers', async () => {
    const delivery = { id: 'msg_1', sentAt: at, event: JSON.parse(body) as unknown }
    expect(await verifyWebhook(body, signed(), secret, { now })).toEqual(delivery)
    expect(await verifyWebhook(new TextEncoder().encode(body), new Headers(signed()), secret, { now })).toEqual(delivery)
    const upper = Object.fromEntries(Object.entries(signed()).map(([name, value]) => [name.toUpperCase(), [value]]))
    expect(await verifyWebhook(body, upper, secret, { now })).toEqual(delivery)
    // Another package's, as those of undici, of node-fetch and of another realm are.
    const others = signed()
    expect(await verifyWebhook(body, { get: (name) => others[name] ?? null }, secret, { now })).toEqual(delivery)
  })

  test('accepts either of two secrets, either of two signatures, and a secret that is the key itself', async () => {
    const other = `whsec_${btoa('another secret')}`
    expect(await refused(body, signed(), [other, secret])).toBe('accepted')
    const both = { ...signed(), 'webhook-signature': `${signed(body, other)['webhook-signature']} v2,x ${signed()['webhook-signature']}` }
    expect(await refused(body, both)).toBe('accepted')
    expect(await refused(body, signed(body, other), 'another secret')).toBe('accepted')
  })

  test('refuses a changed body, id, time, secret or signature', async () => {
    const invalid = 'webhook_signature_invalid'
    expect(await refused(body.replace('run_1', 'run_2'), signed())).toBe(invalid)
    expect(await refused(body, { ...signed(), 'webhook-id': 'msg_2' })).toBe(invalid)
    expect(await refused(body, { ...signed(), 'webhook-timestamp': String(now / 1_000 - 1) })).toBe(invalid)
    expect(await refused(body, signed(), 'whsec_AAAA')).toBe(invalid)
    for (const signature of ['', 'v1,', 'v1,!!!', 'v1', signed()['webhook-signature']?.slice(3) ?? '', 'v1,AAAA'])
      expect(await refused(body, { ...signed(), 'webhook-signature': signature })).toBe(invalid)
    for (const broken of ['', 'whsec_', 'whsec_!!']) expect(await refused(body, signed(), broken)).toBe(invalid)
  })

  test('refuses a delivery without its headers, an old one and one from the future', async () => {
    for (const name of Object.keys(signed()))
      expect(await refused(body, { ...signed(), [name]: undefined })).toBe('webhook_signature_invalid')
    const invalid = 'webhook_timestamp_invalid'
    expect(await refused(body, signed(), secret, now + 301_000)).toBe(invalid)
    expect(await refused(body, signed(), secret, now - 301_000)).toBe(invalid)
    expect(await refused(body, signed(), secret, now + 299_000)).toBe('accepted')
    for (const time of ['', 'soon', 'NaN', '1e99']) expect(await refused(body, { ...signed(), 'webhook-timestamp': time })).toBe(invalid)
  })
})
