import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('the database of .env.local is found, as the doctor finds it that sends one here', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'baton-migrate-'))
  const { PATH } = process.env
  const migrate = () =>
    promisify(execFile)(process.execPath, [join(import.meta.dirname, 'migrate.ts'), '--dry-run'], {
      cwd: folder,
      env: { PATH, NODE_ENV: 'test' },
    })
  await expect(migrate()).rejects.toMatchObject({ stderr: expect.stringContaining('No database is given') })
  await writeFile(join(folder, '.env.local'), 'DATABASE_URL=postgresql://nobody@127.0.0.1:9/none\n')
  await expect(migrate()).rejects.toMatchObject({ stderr: expect.stringContaining('ECONNREFUSED') })
  await rm(folder, { recursive: true })
})
