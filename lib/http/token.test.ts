import { SignJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { redactUrl, signStreamToken, streamTokenMs, verifyStreamToken } from '#lib/http/token'

const key = new Uint8Array(32).fill(1)
const now = 1_700_000_000_000
const claims = { kind: 'run', id: 'run_1', agentUid: 'u', tenantId: 'ten_1' } as const

describe('stream tokens', () => {
  test('are good for 15 minutes', async () => {
    const token = await signStreamToken(claims, key, now)
    expect(await verifyStreamToken(token, key, now + streamTokenMs - 1_000)).toEqual(claims)
    await expect(verifyStreamToken(token, key, now + streamTokenMs)).rejects.toMatchObject({ code: 'unauthorized' })
  })

  test('of another key, changed or no tokens are refused without repeating them', async () => {
    const token = await signStreamToken(claims, key, now)
    const [head = '', , signature = ''] = token.split('.')
    const forged = `${head}.${Buffer.from(JSON.stringify({ ...claims, id: 'run_2', aud: 'baton:events', exp: now })).toString('base64url')}.${signature}`
    for (const [text, with_] of [
      [token, new Uint8Array(32)],
      [forged, key],
      ['', key],
      ['a.b.c', key],
    ] as const) {
      const refused = await verifyStreamToken(text, with_, now).catch((error: unknown) => String(error))
      expect(refused).toContain('stream token is not valid')
      if (text !== '') expect(refused).not.toContain(text)
    }
  })

  test('signed with the encryption key itself, or unsigned, are refused: the key is derived', async () => {
    const direct = await new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'HS256' })
      .setAudience('baton:events')
      .setExpirationTime(now)
      .sign(key)
    const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify({ ...claims, aud: 'baton:events', exp: now })).toString('base64url')}.`
    for (const token of [direct, none]) await expect(verifyStreamToken(token, key, now)).rejects.toMatchObject({ code: 'unauthorized' })
  })
})

test('redactUrl hides the values of secrets', () => {
  expect(redactUrl('http://h/api/runs/r/events?token=abc&after=3&api_key=x&X-Signature=y')).toBe(
    '/api/runs/r/events?token=[redacted]&after=3&api_key=[redacted]&X-Signature=[redacted]',
  )
  expect(redactUrl('http://h/api?a=1%0A2')).toBe('/api?a=1%0A2')
  expect(redactUrl('http://user:pass@h/api')).toBe('/api')
})
