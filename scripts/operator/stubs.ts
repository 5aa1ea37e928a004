import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The first line of the files that adopt writes into an app: whoever runs it again may replace what has it. */
export const stubMark = '// Written by baton/scripts/adopt.ts: hands on to Baton.'

/** Whether the folder is an app that Baton was adopted into. */
export function hasStubs(folder: string): boolean {
  return ['app', 'src/app']
    .map((app) => join(folder, app, 'api', 'agents', 'route.ts'))
    .some((file) => existsSync(file) && readFileSync(file, 'utf8').startsWith(stubMark))
}
