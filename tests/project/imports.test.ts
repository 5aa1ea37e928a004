import { describe, expect, test } from 'vitest'
import { importsOf, isTest, sources } from '#tests/project/sources'

/*
 * Who may import whom (docs/architecture.md). A key is a folder or file, the longest that fits a file counts; it may import itself
 * and what is listed. The tests beside the code are free: they may reach for a real part of another folder.
 */
const table: Readonly<Record<string, readonly string[]>> = {
  app: ['lib/api', 'inngest/serve'],
  'app/bind': ['lib/baton', 'lib/http', 'lib/core'],
  // Runs in browsers: it takes types of lib/core and nothing that would bring code of the server.
  'app/console': ['lib/core'],
  inngest: ['lib/baton', 'lib/jobs', 'lib/queue', 'lib/env'],
  'lib/baton': ['lib', 'local/plugin'],
  'lib/services': ['lib/core', 'lib/engine', 'lib/http', 'lib/jobs'],
  'lib/jobs': ['lib/core', 'lib/engine', 'lib/http', 'lib/services', 'lib/webhooks'],
  'lib/api': ['lib/core', 'lib/engine', 'lib/http', 'lib/services'],
  'lib/engine': ['lib/core'],
  'lib/http': ['lib/core'],
  'lib/live': ['lib/core'],
  'lib/limiter': ['lib/core'],
  'lib/queue': ['lib/core'],
  'lib/store': ['lib/core'],
  'lib/webhooks': ['lib/core'],
  'lib/models': ['lib/core'],
  'lib/telemetry': ['lib/core'],
  'lib/system': ['lib/core'],
  'lib/env': ['lib/core'],
  'lib/access': ['lib/core'],
  // Runs the engine without a stack, for tests of templates; nothing of production imports it.
  'lib/testing': ['lib/core', 'lib/engine', 'lib/models', 'lib/providers', 'lib/system'],
  'lib/core': [],
  // A package of its own, for callers: nothing of Baton, and its files by its own name of them.
  'lib/client': ['client'],
  // The adopter's own: anything but the inside.
  'lib/agents': ['lib/core', 'lib/tools', 'lib/hooks', 'lib/agents'],
  'lib/hooks': ['lib/core', 'lib/hooks'],
  'lib/tools': ['lib/core', 'lib/tools'],
  'lib/providers': ['lib/core', 'lib/models'],
}

/** Packages that belong to one place; everything else is free for whoever may use packages at all. */
const packages: Readonly<Record<string, readonly string[]>> = {
  next: ['app', 'inngest/serve'],
  inngest: ['inngest', 'lib/queue'],
  pg: [],
  'zod-openapi': ['lib/api/openapi'],
  jose: ['lib/access', 'lib/http/token'],
  '@supabase/supabase-js': ['lib/store'],
  '@upstash/redis': ['lib/live', 'lib/limiter'],
  '@upstash/ratelimit': ['lib/limiter'],
  'request-filtering-agent': ['lib/webhooks'],
  '@ai-sdk/anthropic': ['lib/providers'],
  '@ai-sdk/openai': ['lib/providers'],
  '@ai-sdk/openai-compatible': ['lib/providers'],
  react: ['app/console'],
  'react-aria-components': ['app/console'],
  uplot: ['app/console'],
  'markdown-to-jsx': ['app/console'],
}

/** Folders whose code goes to browsers. */
const browser = ['app/console']

const within = (path: string, place: string): boolean => path === place || path.startsWith(`${place}/`)
const placeOf = (path: string): string | undefined =>
  Object.keys(table)
    .filter((place) => within(path, place))
    .toSorted((a, b) => b.length - a.length)[0]
const withoutEnding = (path: string): string => path.replace(/\.tsx?$/, '')

const production = sources('app', 'inngest', 'lib').filter((path) => !isTest(path))
const imports = production.flatMap((path) => importsOf(path))

/** What an import breaks, in words; null where it keeps to the table. */
export function fault({ from, to, typeOnly, dynamic }: (typeof imports)[number]): string | null {
  const source = withoutEnding(from)
  const place = placeOf(source)
  if (place === undefined) return `${from}: there is no row for it`
  if (to.startsWith('.')) return `${from}: ${to} is a relative import`
  if (to.startsWith('#')) {
    const target = to.slice(1)
    if (browser.includes(place) && !within(target, place) && !typeOnly) return `${from}: browsers take types only, not ${target}`
    if (target === 'local/plugin' && !dynamic && !typeOnly) return `${from}: local/plugin is loaded by await import() only`
    const allowed = within(target, place) || (table[place] ?? []).some((other) => within(target, other))
    return allowed ? null : `${from} (${place}) may not import ${target}`
  }
  const name = to.startsWith('@') ? to.split('/').slice(0, 2).join('/') : (to.split('/')[0] ?? '')
  const homes = packages[name]
  if (homes !== undefined && !homes.some((home) => within(source, home))) return `${from} may not import ${name}`
  if (place === 'lib/core' && name !== 'zod' && !typeOnly) return `${from}: core imports zod only (types of ai), not ${to}`
  return null
}

describe('who may import whom', () => {
  test('there is something to check', () => {
    expect(production.length).toBeGreaterThan(80)
    expect(imports.length).toBeGreaterThan(300)
    expect(imports.filter(({ dynamic }) => dynamic).map(({ to }) => to)).toContain('#local/plugin')
  })

  test('every import of app, inngest and lib keeps to the table', () => {
    expect(imports.map(fault).filter((found) => found !== null)).toEqual([])
  })

  test('the table finds what breaks it', () => {
    const bad = (from: string, to: string, more = {}): string | null => fault({ from, to, typeOnly: false, dynamic: false, ...more })
    expect(bad('lib/engine/advance.ts', '#lib/store/store')).not.toBeNull()
    expect(bad('lib/live/live.ts', '#lib/queue/queue')).not.toBeNull()
    expect(bad('lib/api/runs.ts', '#app/bind')).not.toBeNull()
    expect(bad('lib/api/runs.ts', 'next/server')).not.toBeNull()
    expect(bad('lib/core/run.ts', 'node:crypto')).not.toBeNull()
    expect(bad('lib/core/run.ts', 'ai', { typeOnly: true })).toBeNull()
    expect(bad('lib/baton.ts', '#local/plugin')).not.toBeNull()
    expect(bad('lib/baton.ts', '#local/plugin', { dynamic: true })).toBeNull()
    expect(bad('lib/agents/mine.ts', '#lib/engine/advance')).not.toBeNull()
    expect(bad('app/api/runs/route.ts', '#lib/baton')).not.toBeNull()
    expect(bad('lib/api/runs.ts', './schemas')).not.toBeNull()
    expect(bad('app/console/_parts/api.ts', '#lib/core/run', { typeOnly: true })).toBeNull()
    expect(bad('app/console/_parts/api.ts', '#lib/core/run')).not.toBeNull()
    expect(bad('app/console/_parts/api.ts', '#lib/api/runs', { typeOnly: true })).not.toBeNull()
    expect(bad('lib/api/runs.ts', 'react')).not.toBeNull()
  })
})
