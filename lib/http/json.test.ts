import { describe, expect, test } from 'vitest'
import { canonicalJson, lineAndColumn, maxDepth, parseJson, prototypeKeys, sha256Hex } from '#lib/http/json'

describe('parseJson', () => {
  test.each([
    ['', 0],
    ['{', 1],
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ['[1,2', 4],
    ['[1 2]', 3],
    ['nul', 0],
    ['"a\nb"', 2],
    ['"\\x"', 1],
    ['{"a":1} x', 8],
    ['01', 1],
    ['{a:1}', 1],
    ['  ]', 2],
  ])('%j has its fault at %i', (text, position) => {
    const parsed = parseJson(text)
    expect(parsed.ok ? null : parsed.fault.position).toBe(position)
  })

  test('what JSON.parse takes is taken', () => {
    for (const text of ['0', '"x"', 'null', ' {"a":[1,-2.5e3,"\\u00e9\\n",{}]} '])
      expect(parseJson(text)).toEqual({ ok: true, value: JSON.parse(text) })
  })

  test('nesting is bounded, brackets in strings do not count', () => {
    expect(parseJson('['.repeat(maxDepth) + ']'.repeat(maxDepth)).ok).toBe(true)
    expect(parseJson('['.repeat(maxDepth + 1) + ']'.repeat(maxDepth + 1))).toMatchObject({ ok: false, fault: { position: maxDepth } })
    expect(parseJson('['.repeat(1_000_000)).ok).toBe(false)
    expect(parseJson(JSON.stringify('\\"['.repeat(1_000))).ok).toBe(true)
  })

  test('a fault at the end of a long text is found without overflowing the stack', () => {
    expect(parseJson(`"${'\\n'.repeat(500_000)}`)).toMatchObject({ ok: false, fault: { position: 1_000_001 } })
    expect(parseJson(`[${'1,'.repeat(300_000)}]`)).toMatchObject({ ok: false, fault: { position: 600_001 } })
  })

  test('lines and columns count from 1', () => {
    expect(lineAndColumn('a\nbc', 3)).toEqual({ line: 2, column: 2 })
  })
})

test('keys named __proto__ are found at every depth and set no prototype', () => {
  const value: unknown = JSON.parse('{"a":[{"__proto__":{"admin":true}}],"b/~":{"\\u005f_proto__":1}}')
  expect(prototypeKeys(value)).toEqual(['/a/0/__proto__', '/b~1~0/__proto__'])
  expect(Object.hasOwn(Object.prototype, 'admin')).toBe(false)
})

describe('canonicalJson', () => {
  test('order of keys and spaces make no difference, order of items does', () => {
    expect(canonicalJson(JSON.parse('{ "b": [2, {"d":1,"c":null}], "a": "x" }'))).toBe('{"a":"x","b":[2,{"c":null,"d":1}]}')
    expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]))
  })

  test('absent values and numbers written in another way are the same', () => {
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}')
    expect(canonicalJson(JSON.parse('[1e2,-0,1.0]'))).toBe('[100,0,1]')
    expect(canonicalJson(undefined)).toBe('null')
  })
})

test('sha256Hex hashes UTF-8', () => {
  expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})
