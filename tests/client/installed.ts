import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { root } from '#tests/project/sources'

/** The folder of the client's package. */
export const clientFolder = join(root, 'lib/client')
const longestMs = 60_000

/** Runs a command to its end and gives what it printed; rejects when it fails. */
export async function run(command: string, args: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd, timeout: longestMs, env: { ...process.env, ...env } })
  return stdout
}

/** Node 20 where the system has it, and the project's own. */
export const nodes = [process.execPath, '/usr/bin/node'].filter((path) => existsSync(path))

/** An empty project of somebody else's with the client installed from what `from` names, as users install it. */
export interface Installed {
  folder: string
  /** Writes a file and runs it; rejects when it fails. */
  script(name: string, text: string, node: string, env?: Record<string, string>): Promise<string>
  remove(): Promise<void>
}

/** The tarball of the client, in a new folder. */
export async function packed(): Promise<{ tarball: string; files: string[]; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'baton-pack-'))
  const said = await run('npm', ['pack', '--json', '--pack-destination', folder], clientFolder)
  const [{ filename, files }] = JSON.parse(said) as [{ filename: string; files: { path: string }[] }]
  return { tarball: join(folder, filename), files: files.map(({ path }) => path), remove: () => rm(folder, { recursive: true }) }
}

/** Installs the client without the network. */
export async function installed(from: string): Promise<Installed> {
  const folder = await mkdtemp(join(tmpdir(), 'baton-installed-'))
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"name":"somebody-elses","private":true,"type":"module"}')
  await run('npm', ['install', '--no-audit', '--no-fund', '--offline', from], folder)
  return {
    folder,
    async script(name, text, node, env) {
      await writeFile(join(folder, name), text)
      return run(node, [name], folder, env)
    },
    remove: () => rm(folder, { recursive: true }),
  }
}
