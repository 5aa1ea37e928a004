import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { BatonError } from '#lib/core/errors'
import { markSecret, openSecret, sealSecret } from '#lib/webhooks/seal'

const key = randomBytes(32)

test('a mark tells secrets apart, and is another under another key', () => {
  expect(markSecret('whsec_abc', key)).toBe(markSecret('whsec_abc', key))
  expect(new Set([markSecret('whsec_abc', key), markSecret('whsec_abd', key), markSecret('whsec_abc', randomBytes(32))]).size).toBe(3)
})

test('what is sealed opens again, and never looks the same twice', () => {
  for (const plain of ['whsec_abc', '', 'ü€😀', 'x'.repeat(10_000)]) {
    const sealed = sealSecret(plain, key)
    expect(sealed).toMatch(/^v1\.[\w-]{16}\.[\w-]{22}\.[\w-]*$/)
    expect(sealSecret(plain, key)).not.toBe(sealed)
    expect(openSecret(sealed, key)).toBe(plain)
  }
})

test('a changed text, a cut tag, another key and another form are refused without telling the secret', () => {
  const sealed = sealSecret('very-secret', key)
  const [version, iv, tag, cipher] = sealed.split('.')
  const flipped = (text = '') => (text.startsWith('A') ? 'B' : 'A') + text.slice(1)
  const broken = [
    `${version}.${flipped(iv)}.${tag}.${cipher}`,
    `${version}.${iv}.${flipped(tag)}.${cipher}`,
    `${version}.${iv}.${tag}.${flipped(cipher)}`,
    `${version}.${iv}.${tag?.slice(0, 6)}.${cipher}`,
    `v2.${iv}.${tag}.${cipher}`,
    `${sealed}.more`,
    '',
  ]
  for (const text of broken) expect(codeOf(() => openSecret(text, key))).toBe('corrupted_data')
  expect(codeOf(() => openSecret(sealed, randomBytes(32)))).toBe('corrupted_data')
  expect(() => openSecret(sealed, randomBytes(32))).toThrow(/BATON_ENCRYPTION_KEY/)
  expect(codeOf(() => sealSecret('x', randomBytes(16)))).toBe('not_configured')
})

function codeOf(act: () => unknown): string | undefined {
  try {
    act()
    return undefined
  } catch (error) {
    return error instanceof BatonError ? error.code : 'not a BatonError'
  }
}
