import { randomInt } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isAlive } from '#local/postgres/orphan'

/** Ports taken for one stack; `release` gives them back. */
export interface PortClaims {
  /** Finds `count` successive free ports: from `usual` on if those are free, else anywhere; 0 means anywhere at once. */
  take: (usual: number, count?: number) => Promise<number>
  release: () => void
}

/** Folder of the claims, shared by all stacks of this user. */
const claimsFolder = join(tmpdir(), `baton-ports-${process.getuid?.() ?? 'user'}`)

/**
 * Where "anywhere" is: below the ports that systems give to outgoing connections (Linux from 32768, macOS and Windows from 49152). From among those a
 * client of any other stack could take a port in the moment between free and bound, or while its part is started again.
 */
const anywhere = { from: 12_000, to: 32_000 }

/** Most places looked at before giving up. */
const attempts = 50

async function bindable(port: number, host: string): Promise<number | undefined> {
  const server = createServer()
  try {
    await new Promise<void>((done, fail) => {
      server.once('error', fail)
      server.listen(port, host, done)
    })
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : undefined
  } catch {
    return undefined // taken, or not allowed: both mean another port
  } finally {
    await new Promise((done) => server.close(done))
  }
}

/** Whether nobody listens on a port, on loopback or on all addresses. */
export async function isFree(port: number): Promise<boolean> {
  return (await bindable(port, '0.0.0.0')) !== undefined && (await bindable(port, '127.0.0.1')) !== undefined
}

function claimFile(port: number): string {
  return join(claimsFolder, String(port))
}

/** Between "free" and "bound" pass seconds in which a second stack must not choose the same port. */
function claim(port: number): boolean {
  try {
    mkdirSync(claimsFolder, { recursive: true, mode: 0o700 })
    writeFileSync(claimFile(port), String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return takeOver(port)
    return true // claims cannot be written here: do without, a port that is really taken is still seen
  }
}

/** Takes a claim whose process is gone. */
function takeOver(port: number): boolean {
  try {
    const holder = Number(readFileSync(claimFile(port), 'utf8'))
    if (holder > 0 && isAlive(holder)) return false
    rmSync(claimFile(port), { force: true })
    writeFileSync(claimFile(port), String(process.pid), { flag: 'wx' })
    return true
  } catch {
    return false // another stack was faster: take another port
  }
}

/** Starts an empty set of port claims. */
export function portClaims(): PortClaims {
  const held = new Set<number>()
  const giveBack = (port: number): void => {
    rmSync(claimFile(port), { force: true })
    held.delete(port)
  }

  const takeAll = async (first: number, count: number): Promise<boolean> => {
    const taken: number[] = []
    for (let port = first; port < first + count; port += 1) {
      if (port <= 65_535 && !held.has(port) && claim(port)) {
        held.add(port)
        taken.push(port)
        if (await isFree(port)) continue
      }
      for (const one of taken) giveBack(one)
      return false
    }
    return true
  }

  return {
    take: async (usual, count = 1) => {
      if (usual > 0 && (await takeAll(usual, count))) return usual
      for (let attempt = 0; attempt < attempts; attempt += 1) {
        const candidate = randomInt(anywhere.from, anywhere.to)
        if (await takeAll(candidate, count)) return candidate
      }
      throw new Error(`No ${count} successive free ports were found.`)
    },
    release: () => {
      for (const port of held) giveBack(port)
    },
  }
}
