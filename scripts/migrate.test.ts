import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { stubMark } from '#scripts/operator/stubs'

test('the database of .env.local is found, also of that of an app around Baton, as the doctor finds it that sends one here', async () => {
  const app = await mkdtemp(join(tmpdir(), 'baton-migrate-'))
  const folder = join(app, 'baton')
  await mkdir(folder)
  const { PATH } = process.env
  const migrate = () =>
    promisify(execFile)(process.execPath, [join(import.meta.dirname, 'migrate.ts'), '--dry-run'], {
      cwd: folder,
      env: { PATH, NODE_ENV: 'test' },
    })
  await expect(migrate()).rejects.toMatchObject({ stderr: expect.stringContaining('No database is given') })
  await writeFile(join(app, '.env.local'), 'DATABASE_URL=postgresql://nobody@127.0.0.1:9/none\n')
  await expect(migrate()).rejects.toMatchObject({ stderr: expect.stringContaining('No database is given') })
  await mkdir(join(app, 'src/app/api/agents'), { recursive: true })
  await writeFile(join(app, 'src/app/api/agents/route.ts'), `${stubMark}\n`)
  await expect(migrate()).rejects.toMatchObject({ stderr: expect.stringContaining('ECONNREFUSED') })
  // Its own goes first.
  await writeFile(join(folder, '.env.local'), 'DATABASE_URL=nonsense\n')
  await expect(migrate()).rejects.toMatchObject({ stderr: expect.stringContaining('DATABASE_URL') })
  // Warned of before it is asked: through the transaction pooler a migration may hang or end half way.
  await writeFile(join(folder, '.env.local'), 'DATABASE_URL=postgresql://nobody@127.0.0.1:6543/none\n')
  await expect(migrate()).rejects.toMatchObject({ stderr: expect.stringContaining('port 6543 is the transaction pooler') })
  await rm(app, { recursive: true })
})
