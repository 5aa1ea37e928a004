import { expect, test } from 'vitest'
import { sseParser, type SseFrame } from '#client/sse'

const parse = (...pieces: string[]): SseFrame[] => {
  const feed = sseParser()
  return pieces.flatMap((piece) => feed(piece))
}

test('blocks with id, data and retry; comments and other fields are passed over', () => {
  expect(parse(': hello\n\nretry: 1000\n\nid: 7\nevent: done\ndata: {"a":1}\nfoo: bar\n\nid: 9\n\n')).toEqual([
    { id: null, data: '', retry: 1_000 },
    { id: '7', data: '{"a":1}', retry: null },
    { id: '9', data: '', retry: null },
  ])
})

test('the same for every way of cutting the text, and for all three line ends', () => {
  const text = '\uFEFFid: 1\ndata: ü😀\ndata:two\n\ndata: 3\n\n'
  const whole = [
    { id: '1', data: 'ü😀\ntwo', retry: null },
    { id: null, data: '3', retry: null },
  ]
  for (const ending of ['\n', '\r\n', '\r']) {
    // A lone CR at the very end waits for what follows: it may be half of a CRLF.
    const lines = text.replaceAll('\n', ending) + (ending === '\r' ? ':' : '')
    expect(parse(lines)).toEqual(whole)
    expect(parse(...Array.from({ length: lines.length }, (_, index) => lines[index] ?? ''))).toEqual(whole)
  }
})

test('what has no blank line after it is not an event yet', () => {
  expect(parse('data: cut off\n')).toEqual([])
})

test('a line without an end is refused before it fills the memory', () => {
  const feed = sseParser()
  const piece = 'x'.repeat(1_048_576)
  expect(() => {
    for (let count = 0; count < 20; count += 1) feed(piece)
  }).toThrow(expect.objectContaining({ code: 'invalid_answer' }))
})
