import { createHash, randomBytes } from 'node:crypto'

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

function encode(value: bigint, length: number): string {
  let text = ''
  let rest = value
  for (let index = 0; index < length; index += 1) {
    text = (ALPHABET[Number(rest & 31n)] ?? '0') + text
    rest >>= 5n
  }
  return text
}

/** A new ULID, the form of Inngest's own run and event ids. */
export function newId(): string {
  return encode(BigInt(Date.now()), 10) + encode(BigInt(`0x${randomBytes(10).toString('hex')}`), 16)
}

/** The id of the n-th event of a request that carried `x-inngest-event-id-seed`: the same for each resend by the SDK. */
export function seededId(seed: string, index: number): string {
  const digest = createHash('sha256').update(`${seed}:${index}`).digest('hex')
  return encode(BigInt(Number.parseInt(seed, 10) || 0), 10) + encode(BigInt(`0x${digest.slice(0, 20)}`), 16)
}
