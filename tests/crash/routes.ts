import { readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'

/** What a Next route file exports, as far as the explorer calls it. */
export type Handler = (request: Request, context: { params: Promise<Record<string, string>> }) => Promise<Response>

const folder = join(import.meta.dirname, '../../app')
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => /(^|\/)route\.ts$/.test(file))
const places = files
  .map((file) => ({ file: join(folder, file), parts: relative('.', file).split('/').slice(0, -1) }))
  // As Next does: a name goes before a parameter, a parameter before the rest.
  .toSorted((a, b) => rank(a.parts).localeCompare(rank(b.parts)))

function rank(parts: readonly string[]): string {
  return parts.map((part) => (part.startsWith('[...') ? '2' : part.startsWith('[') ? '1' : '0')).join('')
}

function fits(parts: readonly string[], asked: readonly string[]): boolean {
  if (parts.at(-1)?.startsWith('[...') === true)
    return asked.length >= parts.length && fits(parts.slice(0, -1), asked.slice(0, parts.length - 1))
  return parts.length === asked.length && parts.every((part, index) => part.startsWith('[') || part === asked[index])
}

/** The handler of the route that Next would take for this request. Throws where there is none. */
export async function handlerOf(request: Request): Promise<Handler> {
  const asked = new URL(request.url).pathname.split('/').filter((part) => part !== '')
  const place = places.find(({ parts }) => fits(parts, asked))
  if (place === undefined) throw new Error(`no route for ${request.url}`)
  const methods = (await import(pathToFileURL(place.file).href)) as Record<string, Handler>
  const handler = methods[request.method]
  if (handler === undefined) throw new Error(`${place.file} has no ${request.method}`)
  return handler
}
