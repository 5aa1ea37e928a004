import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder of the repository. */
export const root = join(import.meta.dirname, '..', '..')

/** The text of a file of the repository. */
export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** Every file that belongs to the repository: those that git tracks and new ones that it does not ignore. Paths have forward slashes. */
export function files(): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 20_000,
  })
  return listed
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(root, path)))
    .toSorted()
}

/** The TypeScript files under some folders, tests included. */
export function sources(...folders: string[]): string[] {
  return files().filter(
    (path) => /\.tsx?$/.test(path) && !path.endsWith('.d.ts') && folders.some((folder) => path.startsWith(`${folder}/`)),
  )
}

/** True for what only tests load. */
export function isTest(path: string): boolean {
  return /\.test\.tsx?$|\.fixtures?\.ts$|\/fixtures\/|\/contract-[a-z]+\.ts$|^tests\//.test(path)
}

/** One import of a file: what it names, whether it is only for types, and whether it is an `await import()`. */
export interface Import {
  from: string
  to: string
  typeOnly: boolean
  dynamic: boolean
}

/** The imports of a file. It reads text, not syntax: the formatter keeps every statement in a form that this finds. */
export function importsOf(path: string): Import[] {
  const text = read(path).replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  const found: Import[] = []
  for (const [, kind, to] of text.matchAll(/^(?:import|export)\s+(type\s)?[^'"`;]*?from\s+'([^']+)'/gm)) {
    found.push({ from: path, to: to ?? '', typeOnly: kind !== undefined, dynamic: false })
  }
  for (const [, to] of text.matchAll(/^import\s+'([^']+)'/gm)) found.push({ from: path, to: to ?? '', typeOnly: false, dynamic: false })
  for (const [, before, to] of text.matchAll(/(typeof\s+)?\bimport\('([^']+)'\)/g)) {
    found.push({ from: path, to: to ?? '', typeOnly: before !== undefined, dynamic: true })
  }
  return found
}
