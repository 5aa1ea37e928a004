import { describe, expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { authenticate } from '#lib/http/caller'
import type { Access } from '#lib/http/caller'
import { signStreamToken } from '#lib/http/token'
import { testServices } from './services.fixture.ts'

const { config, clock } = testServices()

const operator = 'operator {"operator":{"tenant":"ten_local","name":"local"}}'

async function outcome(
  headers: Record<string, string>,
  changes: { local?: boolean; access?: Access; url?: string; id?: string } = {},
): Promise<string> {
  const { local = true, access = 'caller', url = 'http://localhost:3000/api/x', id } = changes
  try {
    const caller = await authenticate({
      request: new Request(url, { headers }),
      config: { ...config, local },
      access,
      id,
      now: clock.now(),
      requestId: 'req_1',
    })
    return `${caller.kind} ${JSON.stringify(caller.credential)}${caller.agentUid === null ? '' : ` ${caller.agentUid}`}`
  } catch (error) {
    return error instanceof BatonError ? error.code : 'other'
  }
}

describe('local mode', () => {
  test.each(['localhost', 'localhost:3000', 'LOCALHOST:1', '127.0.0.1:80', '127.9.9.9', '[::1]:3000'])(
    'Host %s is the operator',
    async (host) => {
      expect(await outcome({ host })).toBe(operator)
    },
  )
  test.each([
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '128.0.0.1',
    'evil.example:3000',
    '0.0.0.0',
    '',
    'localhost@evil.example',
  ])('Host %j is refused (DNS rebinding)', async (host) => {
    expect(await outcome({ host })).toBe('forbidden')
  })
  test.each(['http://localhost:5173', 'https://127.0.0.1', 'http://[::1]:80', 'https://app.example.com'])(
    'Origin %s may call',
    async (origin) => {
      expect(await outcome({ host: 'localhost', origin })).toBe(operator)
    },
  )
  test.each([
    'null',
    'https://evil.example',
    'http://localhost.evil.example',
    'https://app.example.com.evil.example',
    'http://evil.example/localhost',
    'file://localhost',
  ])('Origin %s is refused', async (origin) => {
    expect(await outcome({ host: 'localhost', origin })).toBe('forbidden')
  })
  test('a tunnel that rewrites Host is refused', async () => {
    expect(await outcome({ host: 'localhost:3000', 'x-forwarded-host': 'abc.tunnel.example' })).toBe('forbidden')
    expect(await outcome({ host: 'localhost:3000', 'x-forwarded-host': 'localhost:3000' })).toBe(operator)
  })
})

describe('outside local mode', () => {
  test('nobody may call, loopback or token notwithstanding; open endpoints answer', async () => {
    const token = await signStreamToken(
      { kind: 'run', id: 'run_1', agentUid: 'u', tenantId: config.tenantId },
      config.encryptionKey,
      clock.now(),
    )
    expect(await outcome({ host: 'localhost' }, { local: false })).toBe('access_control_missing')
    expect(await outcome({}, { local: false, access: 'run-stream', id: 'run_1', url: `http://localhost/?token=${token}` })).toBe(
      'access_control_missing',
    )
    expect(await outcome({ host: 'evil.example' }, { local: false, access: 'open' })).toBe('anonymous {"keyHash":""}')
  })
})

describe('?token=', () => {
  const url = async (claims: { kind: 'agent' | 'run'; id: string; tenantId?: string }): Promise<string> =>
    `http://localhost/x?token=${await signStreamToken({ agentUid: 'u', tenantId: config.tenantId, ...claims }, config.encryptionKey, clock.now())}`

  test('opens exactly its own stream', async () => {
    const own = await url({ kind: 'run', id: 'run_1' })
    expect(await outcome({}, { access: 'run-stream', id: 'run_1', url: own })).toBe(
      'stream {"stream":{"tenant":"ten_local","agentUid":"u"}} u',
    )
    expect(await outcome({}, { access: 'run-stream', id: 'run_2', url: own })).toBe('forbidden')
    expect(await outcome({}, { access: 'agent-stream', id: 'run_1', url: own })).toBe('forbidden')
    expect(await outcome({}, { access: 'run-stream', id: 'run_1', url: await url({ kind: 'run', id: 'run_1', tenantId: 'ten_2' }) })).toBe(
      'forbidden',
    )
    expect(await outcome({}, { access: 'run-stream', id: 'run_1', url: 'http://localhost/x?token=nonsense' })).toBe('unauthorized')
  })
})
