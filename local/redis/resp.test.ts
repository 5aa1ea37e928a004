import { expect, test } from 'vitest'
import { encodeCommand, parseReply, ProtocolError, RedisReplyError } from '#local/redis/resp'

test('a command is encoded with byte lengths, not character counts', () => {
  expect(encodeCommand(['SET', 'k', 'ü']).toString()).toBe('*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nü\r\n')
})

test.each([
  ['+OK\r\n', 'OK'],
  [':-7\r\n', -7],
  ['$-1\r\n', null],
  ['*-1\r\n', null],
  ['*2\r\n:1\r\n*1\r\n+x\r\n', [1, ['x']]],
])('reads %j', (text, reply) => {
  expect(parseReply(Buffer.from(text), 0)).toEqual({ reply, end: text.length })
})

test('a blob may hold line ends', () => {
  const parsed = parseReply(Buffer.from('$4\r\na\r\nb\r\n'), 0)
  expect(String(parsed?.reply)).toBe('a\r\nb')
})

test('an error is a value with its message', () => {
  const parsed = parseReply(Buffer.from('-ERR no\r\n'), 0)
  expect(parsed?.reply).toBeInstanceOf(RedisReplyError)
  expect(String(parsed?.reply)).toContain('ERR no')
})

test('every cut of a reply is "not complete", never a wrong reply', () => {
  const whole = Buffer.from('*3\r\n$3\r\nabc\r\n:12\r\n*1\r\n$2\r\nxy\r\n')
  for (let length = 0; length < whole.length; length += 1) expect(parseReply(whole.subarray(0, length), 0)).toBeUndefined()
  expect(parseReply(whole, 0)?.end).toBe(whole.length)
})

test('nonsense is refused', () => {
  expect(() => parseReply(Buffer.from('?what\r\n'), 0)).toThrow(ProtocolError)
})
