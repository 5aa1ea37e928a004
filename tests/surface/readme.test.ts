import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { adminKey, startGuarded } from '#tests/access/kit'
import { read } from '#tests/project/sources'
import { startWorld, type World } from '#tests/world'

/** What a reader types, and what the README says that comes. */
interface Block {
  commands: string
  promised: string[]
}

const blocks: Block[] = [...read('README.md').matchAll(/```sh\n([^`]*\$B[^`]*)```(?:\s*```(?:json|text)\n([^`]*)```)?/g)].map(
  ([, commands = '', promised = '']) => ({ commands, promised: promised.split('\n').filter((line) => line !== '') }),
)
const guarded = blocks.filter(({ commands }) => commands.includes('$ADMIN'))
/** Without the template that a reader writes on the way; `tests/project/documents.test.ts` looks at its files. */
const open = blocks.filter((block) => !guarded.includes(block) && !block.commands.includes('"template":"support"'))

/** Live text is cut as it comes: a reader who is late by a moment gets in one delta what another gets in three. All of them are the text. */
const isDelta = (line: string): boolean => line.includes('"type":"text_delta"')

/** The text that the deltas of a printed stream make, each from its offset on. */
function textOf(printed: string): string {
  const deltas = printed.split('\n').filter((line) => line.startsWith('data: ') && isDelta(line))
  return deltas
    .map((line) => JSON.parse(line.slice('data: '.length)) as { offset: number; text: string })
    .reduce((text, delta) => text.slice(0, delta.offset) + delta.text, '')
}

/** What of a promised line was not printed: `...` stands for anything, ids and instants are of the day the README was written. */
function missing(printed: string, line: string): string[] {
  let at = 0
  return line.split(/\d{4}-\d\d-\d\dT[\d:.]+\+00:00|(?:01a1)?\.\.\./).filter((part) => {
    const found = printed.indexOf(part, at)
    if (found >= 0) at = found + part.length
    return found < 0
  })
}

/** Types the blocks into one shell, one after another; what each printed, and the calls that were refused. */
async function typed(base: string, typedBlocks: readonly Block[], before = ''): Promise<{ printed: string[]; refused: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'baton-readme-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const commands = typedBlocks.map(({ commands: text }) => text.replace(/^B=.*$/m, '')).join('\necho "=== next"\n')
  const script = `curl() { command curl --max-time 60 --fail-with-body "$@" || echo "refused: $*" >> refused; }
touch refused
B=${base}
${before}
${commands}
echo "=== next"
cat refused`
  const { stdout } = await promisify(execFile)('bash', ['-c', script], { cwd: folder, timeout: 110_000, maxBuffer: 50_000_000 })
  const printed = stdout.split('=== next\n')
  return { refused: printed.pop() ?? '', printed }
}

// A reader needs them, a machine that tests may be without.
const hasShell = ['bash', 'curl'].every((name) => spawnSync(name, ['--version'], { timeout: 10_000 }).status === 0)

describe.skipIf(!hasShell)('the README', () => {
  let local: World
  let keyed: World
  beforeAll(async () => {
    ;[local, keyed] = await Promise.all([startWorld(), startGuarded()])
  })
  afterAll(async () => {
    await Promise.all([local.close(), keyed.close()])
  })

  test('has calls for both', () => expect([open.length, guarded.length]).toEqual([8, 1]))

  test('every call of it succeeds in its order, and prints what it says', { timeout: 120_000 }, async () => {
    const { printed, refused } = await typed(local.base(), open)
    expect(refused).toBe('')
    for (const [index, { commands, promised }] of open.entries()) {
      expect(printed[index], commands).not.toBe('')
      for (const line of promised.filter((each) => !isDelta(each)))
        expect(missing(String(printed[index]), line), `${line}\n${printed[index]}`).toEqual([])
    }
    const streamed = printed.filter((_, index) => open[index]?.promised.some(isDelta))
    expect(streamed.map(textOf)).toEqual(['You said: Tell me more'])
  })

  test('keys are made, rotated and revoked as it says', { timeout: 120_000 }, async () => {
    const made = await keyed.http('POST', '/api/keys', { name: 'first', scopes: ['agents:read'] }, { authorization: `Bearer ${adminKey}` })
    const { refused } = await typed(keyed.base(), guarded, `ADMIN=${adminKey}\nKEY_ID=${String(made.body['id'])}`)
    expect(refused).toBe('')
  })
})
