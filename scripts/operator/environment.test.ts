import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readConfig, type Environment } from '#lib/env'

test('a command for the local stack works beside what `vercel env pull` has written', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'baton-operator-'))
  await writeFile(join(folder, '.env.local'), 'VERCEL="1"\nVERCEL_ENV="production"\nSUPABASE_URL="https://ref.supabase.co"\n')
  const info = {
    baseUrls: ['http://127.0.0.1:3000'],
    supabaseUrl: 'http://127.0.0.1:9',
    databaseUrl: null,
    redisUrl: null,
    inngestUrl: 'http://127.0.0.1:8',
  }
  await writeFile(join(folder, 'local.json'), JSON.stringify(info))
  const program = `import { operatorEnvironment } from ${JSON.stringify(join(import.meta.dirname, 'environment.ts'))}
    console.log(JSON.stringify(await operatorEnvironment('.')))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
    cwd: folder,
    env: { PATH: process.env['PATH'], NODE_ENV: 'test' },
  })
  const env = JSON.parse(stdout) as Environment
  expect(readConfig(env)).toMatchObject({ local: true, environment: 'local', supabase: { url: info.supabaseUrl } })
  await rm(folder, { recursive: true })
})

test('a command that is given the file of a deployment takes nothing from .env.local', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'baton-operator-'))
  await writeFile(join(folder, '.env.local'), 'BATON_ENV="alice"\nDATABASE_URL="postgresql://alice"\n')
  await writeFile(join(folder, '.env.deploy.local'), 'SUPABASE_URL="https://ref.supabase.co"\n')
  const program = `import { operatorEnvironment } from ${JSON.stringify(join(import.meta.dirname, 'environment.ts'))}
    const { BATON_ENV, DATABASE_URL, SUPABASE_URL } = await operatorEnvironment()
    console.log(JSON.stringify([BATON_ENV ?? null, DATABASE_URL ?? null, SUPABASE_URL]))`
  const said = async (...given: string[]): Promise<unknown> => {
    const options = { cwd: folder, env: { PATH: process.env['PATH'], NODE_ENV: 'test' as const, SUPABASE_URL: 'https://set.supabase.co' } }
    const { stdout } = await promisify(execFile)(process.execPath, [...given, '--input-type=module', '-e', program], options)
    return JSON.parse(stdout)
  }
  expect(await said('--env-file=.env.deploy.local')).toEqual([null, null, 'https://set.supabase.co'])
  expect(await said()).toEqual(['alice', 'postgresql://alice', 'https://set.supabase.co'])
  await rm(folder, { recursive: true })
})
