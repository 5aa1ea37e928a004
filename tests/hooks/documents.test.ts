import { execFile } from 'node:child_process'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { createAgentBody, sendMessageBody } from '#lib/api/schemas'
import { basic } from '#lib/agents/basic'
import { defaultMaxOutputTokens, defaultMaxQueued, defaultLimits, defaultToolConcurrency, defaultWindow } from '#lib/core/limits'
import { longestWaitMs } from '#lib/core/numbers'
import { allowedModels, narrow, presets } from '#lib/core/presets'
import { runLimits } from '#lib/core/run'
import { read, root } from '#tests/project/sources'

const text = read('docs/templates.md')
const blocks = (kind: string, of = text): string[] =>
  [...of.matchAll(/```(.*)\n([\s\S]*?)```/g)].flatMap(([, info, body]) => (info === kind && body !== undefined ? [body] : []))

test('the examples of docs/templates.md and docs/approvals.md compile and can be loaded', async () => {
  // Inside the repository, so that its #imports are found; the folder is ignored by git.
  const folder = join(root, '.baton', `documents-${process.pid}`)
  const files = [...blocks('ts'), ...blocks('ts', read('docs/approvals.md'))].map((body, index) => ({
    path: join(folder, `example-${index}.ts`),
    body,
  }))
  expect(files).toHaveLength(3)
  await mkdir(folder, { recursive: true })
  try {
    for (const { path, body } of files) await writeFile(path, body)
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ extends: '../../tsconfig.json', include: ['*.ts'], exclude: [] }))
    const compiled = await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['--noEmit', '-p', folder], { timeout: 100_000 }).catch(
      (error: { stdout: string }) => error,
    )
    expect(compiled.stdout).toBe('')
    for (const { path } of files) expect(Object.keys((await import(path)) as object)).toHaveLength(1)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('the bodies of docs/templates.md are valid, and their overrides fit the template that they name', () => {
  const agents = blocks('json createAgent').map((body) => createAgentBody.parse(JSON.parse(body)))
  const messages = blocks('json sendMessage').map((body) => sendMessageBody.parse(JSON.parse(body)))
  expect([agents.length, messages.length]).toEqual([1, 1])
  for (const { overrides = {} } of [...agents, ...messages]) expect(narrow(overrides, basic).problems).toEqual([])
  expect(allowedModels(basic)).toHaveLength(1)
})

test('A84: the table of presets says what the code does', () => {
  const money = (micros: number | undefined): string =>
    micros === undefined ? '' : `$${(micros / 1_000_000).toFixed(2).replace('.00', '')}`
  for (const [name, { limits, rate, expiresInMs }] of Object.entries(presets)) {
    const cells =
      text
        .split('\n')
        .find((line) => line.startsWith(`| \`${name}\``))
        ?.split('|')
        .map((cell) => cell.trim()) ?? []
    expect(cells.slice(2, 4), name).toEqual([money(limits?.maxCostMicros), money(limits?.maxPerCallMicros)])
    const unit = rate?.ms === 60_000 ? 'a minute' : 'an hour'
    expect(cells[4]).toBe(rate === undefined ? '' : `${rate.calls.toLocaleString('en')} ${unit}`)
    const hours = (expiresInMs ?? 0) / 3_600_000
    expect(cells[5]).toBe(hours === 0 ? '' : hours === 1 ? '1 hour' : hours < 1 ? `${hours * 60} minutes` : `${hours} hours`)
  }
})

/** The fields of an interface of lib/core/define.ts, as its source names them. */
function fieldsOf(name: string): string[] {
  const body = new RegExp(`export interface ${name}\\b[^{]*\\{\\n([\\s\\S]*?)\\n\\}`).exec(read('lib/core/define.ts'))?.[1] ?? ''
  return [...body.matchAll(/^ {2}(\w+)[?:(]/gm)].map(([, field = '']) => field)
}

/** The cells of the first line that begins so. */
function cellsOf(start: string, lines = text): string[] {
  const row = lines.split('\n').find((line) => line.startsWith(start))
  return row === undefined ? [] : row.slice(2, -2).split(' | ')
}

/** The cells of the row of a field in a section. */
function rowOf(heading: string, field: string): string[] {
  const section = text.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? ''
  const start = new RegExp(`^\\| [^|]*\\b${field}\\b`, 'm').exec(section)?.[0]
  return start === undefined ? [] : cellsOf(start, section)
}

test('every field of templates, tools and their context is described, with the default that the code has', () => {
  const template = 'The fields of a template'
  const tool = 'The fields of a tool'
  const described = { AgentDefinition: template, ToolDefinition: tool, ToolContext: tool }
  for (const [name, heading] of Object.entries(described)) {
    expect(fieldsOf(name).length, name).toBeGreaterThan(8)
    expect(fieldsOf(name).filter((field) => rowOf(heading, field).length < 2)).toEqual([])
  }
  expect(Object.keys(runLimits.shape).filter((field) => rowOf(template, field).length < 2)).toEqual([])
  const defaults = {
    ...defaultLimits,
    ...Object.fromEntries(Object.entries(defaultWindow).map(([field, value]) => [`window.${field}`, value])),
    maxQueued: defaultMaxQueued,
    'settings.maxOutputTokens': defaultMaxOutputTokens,
    toolConcurrency: defaultToolConcurrency,
  }
  const told = Object.keys(defaults).map((field) => [field, cellsOf(`| \`${field}\` |`)[2]?.split(' ')[0]])
  expect(told).toEqual(Object.entries(defaults).map(([field, value]) => [field, value.toLocaleString('en')]))
  expect(text).toContain(`\`approvalExpiresMs\` and \`expiresMs\` at ${longestWaitMs.toLocaleString('en')} (100 years)`)
})
