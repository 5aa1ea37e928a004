import { describe, expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { readBody } from '#lib/http/body'

function post(body: BodyInit | null, headers: Record<string, string> = { 'content-type': 'application/json' }): Request {
  return new Request('http://localhost/', { method: 'POST', body, headers, ...(body instanceof ReadableStream ? { duplex: 'half' } : {}) })
}

async function codeOf(request: Request, maxBytes = 100): Promise<string> {
  try {
    await readBody(request, maxBytes)
    return 'read'
  } catch (error) {
    return error instanceof BatonError ? error.code : 'other'
  }
}

describe('readBody', () => {
  test('gives text and value', async () => {
    expect(await readBody(post(' {"a":"é"} '), 100)).toEqual({ text: ' {"a":"é"} ', value: { a: 'é' } })
  })

  test('no body is no value, whatever its type', async () => {
    expect(await readBody(post(null, {}), 100)).toEqual({ text: null, value: undefined })
    expect(await readBody(post('', { 'content-type': 'text/plain' }), 100)).toEqual({ text: null, value: undefined })
  })

  test.each([
    ['application/json', 'read'],
    ['Application/JSON; charset=UTF-8', 'read'],
    ['application/problem+json', 'read'],
    ['text/plain', 'unsupported_media_type'],
    ['application/x-www-form-urlencoded', 'unsupported_media_type'],
    ['application/jsonp', 'unsupported_media_type'],
    ['application/json; charset=latin1', 'unsupported_media_type'],
    ['', 'unsupported_media_type'],
  ])('content-type %j: %s', async (type, expected) => {
    expect(await codeOf(post(new TextEncoder().encode('{}'), type === '' ? {} : { 'content-type': type }))).toBe(expected)
  })

  test('compressed bodies are refused', async () => {
    expect(await codeOf(post('{}', { 'content-type': 'application/json', 'content-encoding': 'gzip' }))).toBe('unsupported_media_type')
  })

  test('the limit holds to the byte', async () => {
    expect(await codeOf(post('"12345678"'), 10)).toBe('read')
    expect(await codeOf(post('"123456789"'), 10)).toBe('body_too_large')
  })

  test('a declared length above the limit is refused before reading', async () => {
    const request = post('{}', { 'content-type': 'application/json', 'content-length': '101' })
    expect(await codeOf(request)).toBe('body_too_large')
    expect(request.bodyUsed).toBe(false)
  })

  test('an endless body is read no further than the limit', async () => {
    let pulled = 0
    let cancelled = false
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled += 1
        controller.enqueue(new Uint8Array(40))
      },
      cancel: () => {
        cancelled = true
      },
    })
    expect(await codeOf(post(endless))).toBe('body_too_large')
    expect(cancelled).toBe(true)
    expect(pulled).toBeLessThan(6)
  })

  test('a body that breaks off, bad UTF-8 and bad JSON are malformed_json', async () => {
    const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error('gone')) })
    expect(await codeOf(post(broken))).toBe('malformed_json')
    expect(await codeOf(post(new Uint8Array([0x22, 0xff, 0x22])))).toBe('malformed_json')
    await expect(readBody(post('{"a":\n secret}'), 100)).rejects.toMatchObject({
      code: 'malformed_json',
      details: { position: 7, line: 2, column: 2 },
    })
    await expect(readBody(post('{"a":\n secret}'), 100)).rejects.not.toThrow('secret')
  })

  test('keys named __proto__ are refused with their place', async () => {
    await expect(readBody(post('{"a":{"__proto__":{}}}'), 100)).rejects.toMatchObject({
      code: 'validation',
      details: { problems: [{ in: 'body', path: '/a/__proto__' }] },
    })
  })
})
