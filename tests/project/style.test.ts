import { describe, expect, test } from 'vitest'
import { redactText } from '#lib/core/secret-values'
import { files, isTest, read, sources } from '#tests/project/sources'

const code = sources('app', 'inngest', 'lib', 'local', 'scripts', 'supabase', 'tests', 'bench')
const sql = files().filter((path) => path.endsWith('.sql'))
const mostLines = 300

/** The lines of some files on which a pattern stands, as `file:line: text`; files that talk about the pattern are left out. */
function standing(pattern: RegExp, paths: readonly string[], except: readonly string[] = []): string[] {
  return paths
    .filter((path) => !except.includes(path))
    .flatMap((path) =>
      read(path)
        .split('\n')
        .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${line.trim().slice(0, 120)}`] : [])),
    )
}

const itself = ['tests/project/style.test.ts']

describe('style', () => {
  test('no file is longer than 300 lines, half are shorter than 100', () => {
    const lengths = [...code, ...sql].map((path) => ({ path, lines: read(path).split('\n').length - 1 }))
    expect(lengths.filter(({ lines }) => lines > mostLines)).toEqual([])
    const sorted = lengths.map(({ lines }) => lines).toSorted((a, b) => a - b)
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(100)
  })

  test('no any, no switched-off check, nothing left to do', () => {
    expect(standing(/^(?!.*(\/\/|\* )).*((:|<|\bas|\|) any\b|\bany\[\])/, code, itself)).toEqual([])
    expect(standing(/@ts-(ignore|expect-error|nocheck)|(oxlint|eslint)-disable/, code, itself)).toEqual([])
    expect(standing(/\b(TODO|FIXME|XXX|HACK)\b/, [...code, ...sql, ...files().filter((path) => path.endsWith('.md'))], itself)).toEqual([])
  })

  test('no path of one machine and no address of a registry stands in a file', () => {
    const texts = files().filter((path) => !/\.(png|ico|woff2?)$/.test(path) && path !== 'LICENSE')
    expect(standing(/\/(home|Users|root|work|tmp\/wt)\/[a-z]|[A-Z]:\\\\?Users/, texts, [...itself, 'package-lock.json'])).toEqual([])
    // The lockfile names versions and checksums only, so that every machine asks the registry it is set up for.
    expect(standing(/"resolved"/, ['package-lock.json'])).toEqual([])
  })

  test('what tests share registers no hooks of its own: it is loaded once, and only the first file of a process would have them', () => {
    const shared = code.filter((path) => !/\.test\.tsx?$/.test(path))
    expect(standing(/^(before|after)(Each|All)\(/, shared, ['tests/leaves-nothing.ts'])).toEqual([])
  })

  test('tests that run beside each other do not ask by `expect.poll`: vitest forgets the test it belongs to when another one ends', () => {
    const beside = sources('tests').filter(
      (path) => !isTest(path) || /\b(test|it|describe)\.concurrent\b|\bconcurrent: true/.test(read(path)),
    )
    expect(beside.filter(isTest).length).toBeGreaterThan(10)
    expect(standing(/\bexpect\.poll\(/, beside, itself)).toEqual([])
  })

  test('only lib/env reads the environment of the process', () => {
    const production = sources('app', 'inngest', 'lib').filter((path) => !isTest(path))
    const allowed = ['lib/env.ts', 'lib/env/build.ts']
    expect(standing(/^(?!\s*(\/\/|\*|\/\*)).*process\.env/, production, allowed)).toEqual([])
  })

  test('no text of ours is taken for a secret by our own redaction', () => {
    const texts = sources('lib', 'app')
      .filter((path) => !isTest(path))
      .flatMap((path) => [...read(path).matchAll(/'((?:[^'\\\n]|\\.)*)'/g)].map(([, text = '']) => text))
      .filter((text) => text.includes(' '))
    expect(texts.length).toBeGreaterThan(500)
    expect(texts.filter((text) => redactText(text) !== text)).toEqual([])
  })

  test('every file is imported by its name from the root', () => {
    expect(standing(/from '\.{1,2}\//, code, itself).filter((line) => !isTest(line.split(':')[0] ?? ''))).toEqual([])
  })

  test('everything that lib exports says what it is', () => {
    const silent = sources('lib')
      .filter((path) => !isTest(path))
      .flatMap(undocumented)
    expect(silent).toEqual([])
  })

  test('no SQL function is left open to other search paths', () => {
    const heads = sql.flatMap((path) => [...read(path).matchAll(/create or replace function ([a-z_.]+)\([\s\S]*?(?=\bas\s|\$\$)/gi)])
    expect(heads.length).toBeGreaterThan(50)
    // These are put in place by the planner, which it does only without a setting; their callers have set it.
    const inlined = /^baton\.(wanted_\w+|message_json|window_json|samples_of|clock)$/
    const open = heads.filter(([head, name = '']) => !head.includes("set search_path = ''") && !inlined.test(name))
    expect(open.map(([, name]) => name)).toEqual([])
  })
})

/** Exports without a comment above them. The inferred type of a schema right above it, and overloads, need none of their own. */
function undocumented(path: string): string[] {
  const lines = read(path).split('\n')
  return lines.flatMap((line, index) => {
    const [, kind, name] = /^export (?:declare )?(?:async )?(function|const|class|interface|type) (\w+)/.exec(line) ?? []
    if (kind === undefined || name === undefined) return []
    if (kind === 'type' && /= z\.(infer|output|input)<typeof \w+>/.test(line)) return []
    if ((lines[index - 1] ?? '').trim().endsWith('*/')) return []
    return [`${path}:${index + 1}: ${name}`]
  })
}
