import { describe, expect, test } from 'vitest'
import { isErrorCode } from '#lib/core/errors'
import { metricTable } from '#lib/core/metrics'
import { isTest, read, sources } from '#tests/project/sources'

/** The entries on troubleshooting and operation of the four guides, by their numbers in the requirements of this project. */
const asked = `KD R171 KP R110 R111 R156 R157 R158 R179 R401
  SG R101 R102 R103 R104 R135 R162 R163 R164 R165 R188 R189 R190 R240 R246 R310 R336 R338 R340 R347 R355 R356 R357 R369 R372 R373 R374 R375 R376 R377
  SG R388 R390 R391 R392 R393 R394 R396 R397 R398 R399 R400
  IN R105 R142 R297 R300 R304 R305 R306 R359 R365 R383 R405
  MD R107 R108 R109 R112 R113 R143 R144 R147 R249 R254 R260 R262 R266 R271 R272 R276 R279 R280 R281 R285 R328 R329 R349 R378 R379 R380 R381 R382 R402 R403 R404`
const page = read('docs/troubleshooting.md')
const rows = page.split('\n').filter((line) => /^\| (?!you |---)/.test(line))

/** The headings of a document as links name them. */
const anchors = (path: string): string[] =>
  [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  )
const textOf = (folder: string): string =>
  sources(folder)
    .filter((path) => !isTest(path))
    .map(read)
    .join('\n')

describe('docs/troubleshooting.md', () => {
  test('answers each entry of the four guides', () => {
    const answered = new Set(rows.flatMap((row) => row.match(/\bR\d{3}\b/g) ?? []))
    const wanted = asked.match(/\bR\d{3}\b/g) ?? []
    expect(wanted.length).toBeGreaterThan(80)
    expect(wanted.filter((id) => !answered.has(id))).toEqual([])
    for (const row of rows) expect(row, 'who asks for it').toMatch(/\b(?:KP|KD|SG|IN|MD) R\d{3}\b[^|]*\|$/)
  })

  test('quotes what the doctor, health and the log really say', () => {
    const said = {
      doctor: textOf('scripts') + read('scripts/doctor.ts') + read('supabase/connection.ts'),
      health: read('lib/core/health.ts'),
      log: textOf('lib'),
    }
    let quotes = 0
    for (const [, who = '', list = ''] of page.matchAll(/\b(doctor|health|log): ("[^"]+"(?:, "[^"]+")*)/g))
      for (const [, quote = ''] of list.matchAll(/"([^"]+)"/g)) {
        quotes++
        expect(said[who as keyof typeof said], `${who} says: ${quote}`).toContain(quote)
      }
    expect(quotes).toBeGreaterThan(30)
  })

  test('names metrics, variables, codes, alerts and headings that exist', () => {
    const metrics = [...page.matchAll(/\bbaton_\w+/g)].map(([name]) => name)
    expect([...new Set(metrics)].filter((name) => !Object.hasOwn(metricTable, name))).toEqual([])
    const named = [...page.matchAll(/\b(?:BATON|SUPABASE|UPSTASH|DATABASE|OTEL)_[A-Z_]+/g)].map(([name]) => name)
    expect([...new Set(named)].filter((name) => !read('docs/config.md').includes(`${name}\``))).toEqual([])
    const codes = [...page.matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)].map(([, code = '']) => code).filter((code) => !code.startsWith('baton_'))
    expect(codes.length).toBeGreaterThan(8)
    expect([...new Set(codes)].filter((code) => !isErrorCode(code))).toEqual([])
    const rules = read('docs/monitoring/alerts.yml')
    for (const [name] of page.matchAll(/\bBaton[A-Z]\w+/g)) expect(rules, name).toContain(`alert: ${name}`)
    const links = [...page.matchAll(/\]\(([\w/.-]+\.md)#([\w-]+)\)/g)]
    expect(links.length).toBeGreaterThan(20)
    for (const [, file = '', anchor = ''] of links) expect(anchors(`docs/${file}`), `${file}#${anchor}`).toContain(anchor)
  })
})
