import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { refusalError } from '#lib/engine/open'

const root = join(import.meta.dirname, '..', '..')
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

test('every cause of a conflict that SQL names has a sentence of its own, and docs/errors.md names it', () => {
  const sql = globSync('supabase/migrations/*.sql', { cwd: root })
  const conflicts = sql.flatMap((path) => [...read(path).matchAll(/baton\.refuse\('conflict'.*/g)].map(([line]) => line))
  const reasons = conflicts.map((line) => /"reason": "(\w+)"|'reason', '(\w+)'/.exec(line)?.slice(1).join('') ?? line)
  expect(new Set(reasons).size).toBeGreaterThanOrEqual(8)
  const sentence = (reason?: string): string => refusalError({ ok: false, code: 'conflict', reason }).message
  const sentences = new Map(reasons.map((reason) => [reason, sentence(reason)]))
  expect([...sentences.values()]).not.toContain(sentence())
  expect(new Set(sentences.values()).size).toBe(sentences.size)
  expect([...sentences.keys()].filter((reason) => !read('docs/errors.md').includes(`\`${reason}\``))).toEqual([])
})
