import { BatonError } from '#lib/core/errors'

/**
 * The parameters that a path has under a template such as `/api/agents/{id}/messages`, percent-decoded. We match ourselves because
 * frameworks differ in what they decode. Throws BatonError not_found when it does not fit, validation for broken percent-encoding.
 */
export function matchPath(template: string, pathname: string): Record<string, string> {
  const wanted = template.split('/')
  const given = pathname.replace(/\/$/, '').split('/')
  if (wanted.length !== given.length) throw notHere()
  const entries: [string, string][] = []
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? ''
    const name = /^\{(\w+)\}$/.exec(part)?.[1]
    if (name !== undefined) entries.push([name, decode(name, value)])
    else if (part !== value) throw notHere()
  }
  return Object.fromEntries(entries)
}

function notHere(): BatonError {
  return new BatonError('not_found', 'There is nothing at this address.')
}

function decode(name: string, value: string): string {
  try {
    return decodeURIComponent(value)
  } catch (cause) {
    const message = 'is not valid percent-encoding'
    throw new BatonError(
      'validation',
      `The path parameter ${name} ${message}.`,
      { problems: [{ in: 'path', path: `/${name}`, message }] },
      { cause },
    )
  }
}
