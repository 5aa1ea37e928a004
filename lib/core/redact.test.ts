import { describe, expect, test } from 'vitest'
import { createRedactor, redact } from '#lib/core/redact'
import { isSecretKey } from '#lib/core/secret-keys'
import { redactText } from '#lib/core/secret-values'
import { join, negatives, positives } from '#tests/audit/corpus'

describe('the corpus', () => {
  test('has at least 60 secrets and 40 harmless texts', () => {
    expect(positives.length).toBeGreaterThanOrEqual(60)
    expect(negatives.length).toBeGreaterThanOrEqual(40)
  })

  test.each(positives)('hides: $name', ({ text, secret, kept }) => {
    const shown = redactText(text)
    expect(shown).not.toContain(secret)
    expect(shown).toContain('[redacted]')
    if (kept !== undefined) expect(shown).toContain(kept)
    expect(redactText(shown)).toBe(shown)
  })

  test.each(negatives)('leaves: %s', (text) => {
    expect(redactText(text)).toBe(text)
  })

  test.each(positives)('hides in JSON, in an error, in a URL and in a line of a log: $name', ({ text, secret }) => {
    const line = JSON.stringify(redact({ level: 'error', error: `Error: ${text}\n    at x (file.ts:1:2)`, list: [text] }))
    expect(line).not.toContain(JSON.stringify(secret).slice(1, -1))
  })
})

describe('by key', () => {
  test.each([
    'authorization',
    'Authorization',
    'password',
    'db_password',
    'passwordHash',
    'secret',
    'clientSecret',
    'client_secret',
    'token',
    'accessToken',
    'access_token',
    'csrf-token',
    'apiKey',
    'api_key',
    'APIKey',
    'x-api-key',
    'X-API-KEY',
    'OPENAI_API_KEY',
    'cookie',
    'Set-Cookie',
    'private_key',
    'privateKeyPem',
    'connectionString',
    'connection_string',
    'credentials',
    'AWS_SECRET_ACCESS_KEY',
    'serviceRoleKey',
    'BATON_ENCRYPTION_KEY',
    'INNGEST_SIGNING_KEY',
    'jwt',
    'dsn',
  ])('%s is secret', (key) => {
    expect(isSecretKey(key)).toBe(true)
    expect(redact({ [key]: 'x' })).toEqual({ [key]: '[redacted]' })
  })

  test.each([
    'inputTokens',
    'outputTokens',
    'maxTokens',
    'tokens',
    'tokenCount',
    'token_type',
    'estTokens',
    'cacheReadTokens',
    'key',
    'keyId',
    'api_key_id',
    'idempotencyKey',
    'publicKey',
    'secretName',
    'passwordResetAt',
    'author',
    'authorId',
    'description',
    'sessionId',
    'requestId',
    'traceId',
    'agentUid',
    'passed',
    'discounts',
    '',
  ])('%s is not', (key) => {
    expect(isSecretKey(key)).toBe(false)
    expect(redact({ [key]: 'x' })).toEqual({ [key]: 'x' })
  })

  test('all that stands below a secret key is hidden, its shape stays', () => {
    expect(redact({ credentials: { user: 'ann', list: ['a', 'b', ''], n: 3, ok: true, none: null } })).toEqual({
      credentials: { user: '[redacted]', list: ['[redacted]', '[redacted]', ''], n: 3, ok: true, none: null },
    })
    expect(redact({ password: 1234, token: 7, inputTokens: 9, secret: null })).toEqual({
      password: '[redacted]',
      token: 7,
      inputTokens: 9,
      secret: null,
    })
  })

  test('headers as lists of name and value', () => {
    expect(
      redact([
        { name: 'Authorization', value: 'x y' },
        { name: 'accept', value: 'x y' },
      ]),
    ).toEqual([
      { name: 'Authorization', value: '[redacted]' },
      { name: 'accept', value: 'x y' },
    ])
    // With what archives write beside them, up to four fields; in what is wider a name is a name.
    const wide = { name: 'Authorization', value: 'x y', comment: '', enabled: true }
    expect(redact(wide)).toEqual({ ...wide, value: '[redacted]' })
    expect(redact({ ...wide, place: 1 })).toEqual({ ...wide, place: 1 })
  })
})

describe('the walk', () => {
  test('what has nothing to hide comes back as the same object', () => {
    const value = { a: [1, 'two', { three: null }], usage: { inputTokens: 1 } }
    expect(redact(value)).toBe(value)
  })

  test('is idempotent and never changes what it is given', () => {
    const value = { password: 'x', list: [{ note: join('Bearer ', 'abcdef123456') }], cookie: ['a=b'] }
    const before = JSON.stringify(value)
    const once = redact(value)
    expect(JSON.stringify(value)).toBe(before)
    expect(redact(once)).toEqual(once)
    expect(Array.isArray(once.list)).toBe(true)
  })

  test('cycles, depth and size are bounded; a value that occurs twice is no cycle', () => {
    const round: Record<string, unknown> = { password: 'x' }
    round['self'] = round
    expect(redact(round)).toEqual({ password: '[redacted]', self: '[circular]' })
    const shared = { token: 'x' }
    expect(redact([shared, shared])).toEqual([{ token: '[redacted]' }, { token: '[redacted]' }])
    let deep: unknown = 'bottom'
    for (let n = 0; n < 10_000; n++) deep = [deep]
    expect(JSON.stringify(redact(deep))).toContain('[too large]')
    const wide = Array.from({ length: 60_000 }, () => ({ password: 'x' }))
    const shown = JSON.stringify(redact(wide))
    expect(shown).not.toContain('"x"')
    expect(shown).toContain('[too large]')
  })

  test('dates, errors, big numbers and names such as __proto__', () => {
    const value = JSON.parse('{"__proto__":{"password":"x"},"password":"y"}') as object
    expect(JSON.stringify(redact(value))).toBe('{"__proto__":{"password":"[redacted]"},"password":"[redacted]"}')
    expect(JSON.stringify(redact({ at: new Date(0), size: 12n }))).toBe('{"at":"1970-01-01T00:00:00.000Z","size":"12"}')
    const error = Object.assign(new Error('no'), { responseHeaders: { 'set-cookie': 'a=b' } })
    expect(JSON.stringify(redact({ error }))).toBe('{"error":{"responseHeaders":{"set-cookie":"[redacted]"}}}')
  })

  test('what an object tells of itself as JSON is looked at, and what only looks like that is a field', () => {
    const address = new URL(join('https://ann', ':hunter22@db.example/x'))
    expect(JSON.stringify(redact({ address }))).toBe('{"address":"https://ann:[redacted]@db.example/x"}')
    const failed = { message: 'no', toJSON: () => ({ config: { headers: { authorization: 'x y' } } }) }
    expect(JSON.stringify(redact([failed]))).toBe('[{"config":{"headers":{"authorization":"[redacted]"}}}]')
    expect(redact({ toJSON: 'a field', password: 'x' })).toEqual({ toJSON: 'a field', password: '[redacted]' })
  })

  test('the bounds: 64 levels of objects, of lists and of what answers with itself; 50,000 objects', () => {
    const nested = (levels: number, around: (inner: unknown) => unknown): unknown => {
      let value: unknown = { password: 'x' }
      for (let level = 0; level < levels; level++) value = around(value)
      return value
    }
    for (const around of [(inner: unknown) => [inner], (inner: unknown) => ({ inner })]) {
      expect(JSON.stringify(redact(nested(64, around)))).toContain('[redacted]')
      expect(JSON.stringify(redact(nested(65, around)))).toContain('"[too large]"')
    }
    let asked = 0
    const endless = (): object => ({
      toJSON: () => {
        asked += 1
        return endless()
      },
    })
    expect(redact(endless())).toBe('[too large]')
    expect(asked).toBe(65)
    const wide = (length: number): unknown[] => Array.from({ length }, () => ({ n: 1 }))
    const whole = wide(49_999)
    expect(redact(whole)).toBe(whole)
    expect(redact(wide(50_000)).slice(-2)).toEqual([{ n: 1 }, '[too large]'])
  })

  test('a secret in a key is hidden too', () => {
    expect(JSON.stringify(redact({ [join('gh', 'p_', 'a1'.repeat(18))]: 1 }))).toBe('{"[redacted]":1}')
  })
})

describe('known secrets', () => {
  const own = createRedactor(['plain words here', 'p+q/r=s"t12', 'short', '', null, undefined, 'plain words here and more'])

  test('are hidden wherever they stand, whatever they look like', () => {
    expect(own('x plain words here y')).toBe('x [redacted] y')
    expect(own('plain words here and more')).toBe('[redacted]')
    expect(own({ note: ['a plain words here'] })).toEqual({ note: ['a [redacted]'] })
  })

  test('as they stand in URLs and in JSON, too', () => {
    expect(own(`?q=${encodeURIComponent('p+q/r=s"t12')}`)).toBe('?q=[redacted]')
    expect(own(JSON.stringify({ v: 'p+q/r=s"t12' }))).toBe('{"v":"[redacted]"}')
  })

  test('short ones are left alone, for they would be found inside of words: those of 8 characters are not', () => {
    expect(own('a shorter text')).toBe('a shorter text')
    expect(createRedactor(['seven77', 'eight888'])('a seven77 and an eight888')).toBe('a seven77 and an [redacted]')
  })
})
