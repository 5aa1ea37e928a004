import { randomBytes } from 'node:crypto'
import { chmod, link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

const keysSchema = z.object({
  publishableKey: z.string().startsWith('sb_publishable_'),
  secretKey: z.string().startsWith('sb_secret_'),
  jwtSecret: z.string().min(32),
  databasePassword: z.string().min(16),
  redisToken: z.string().min(16),
  inngestEventKey: z.string().min(8),
  inngestSigningKey: z.string().startsWith('signkey-'),
  encryptionKey: z.string().min(44),
})

/** The secrets of one local stack, made at its first start and kept in DIR/keys.json. */
export type LocalKeys = z.infer<typeof keysSchema>

function makeKeys(): LocalKeys {
  const text = (bytes: number): string => randomBytes(bytes).toString('base64url')
  return {
    publishableKey: `sb_publishable_${text(24)}`,
    secretKey: `sb_secret_${text(24)}`,
    jwtSecret: text(48),
    databasePassword: text(24),
    redisToken: text(24),
    inngestEventKey: text(18),
    inngestSigningKey: `signkey-local-${randomBytes(32).toString('hex')}`,
    encryptionKey: randomBytes(32).toString('base64'),
  }
}

/** Reads DIR/keys.json (mode 0600), which the first start makes. Throws when the file is there but not valid. */
export async function localKeys(dataDir: string): Promise<LocalKeys> {
  await mkdir(dataDir, { recursive: true })
  const file = join(dataDir, 'keys.json')
  const draft = `${file}.${randomBytes(6).toString('hex')}.new`
  await writeFile(draft, `${JSON.stringify(makeKeys(), null, 2)}\n`, { mode: 0o600 })
  try {
    await link(draft, file) // fails if the file is there; a half-written file is never seen
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  await chmod(file, 0o600)
  const parsed = keysSchema.safeParse(JSON.parse(await readFile(file, 'utf8')))
  if (!parsed.success) throw new Error(`${file} is damaged. Remove the data folder, or put the file back: ${parsed.error.message}`)
  return parsed.data
}
