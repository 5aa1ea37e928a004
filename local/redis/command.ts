import { z } from 'zod'

/** A command as the REST client sends it: words, numbers and booleans in one list. */
export const commandSchema = z.array(z.union([z.string(), z.number(), z.boolean(), z.null()])).min(1)

/** Most commands in one pipeline. */
export const pipelineSchema = z.array(commandSchema).min(1).max(10_000)

/** A command that the REST interface does not take; `message` goes to the client. */
export class RefusedCommand extends Error {}

/** Commands that belong to one connection or wait: over REST they are refused, by Upstash too. */
const refused = new Set(
  [
    'SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE MONITOR MULTI EXEC DISCARD WATCH UNWATCH',
    'BLPOP BRPOP BLMOVE BLMPOP BRPOPLPUSH BZPOPMIN BZPOPMAX BZMPOP WAIT',
    'SELECT AUTH HELLO QUIT RESET SHUTDOWN CLIENT CONFIG DEBUG REPLICAOF SLAVEOF',
  ].flatMap((line) => line.split(' ')),
)

/** The first line of Upstash's own scripts (`#!lua flags=allow-key-locking`), which plain Redis does not know. */
const flagLine = /^\s*#![^\n]*\n/

function words(command: z.infer<typeof commandSchema>): string[] {
  return command.map((word) => (word === null ? '' : String(word)))
}

/**
 * Checks one command and makes it fit for plain Redis: the Upstash-only flag line of a script goes.
 * Throws {@link RefusedCommand}.
 */
export function prepareCommand(command: z.infer<typeof commandSchema>): string[] {
  const result = words(command)
  const name = (result[0] ?? '').toUpperCase()
  if (refused.has(name))
    throw new RefusedCommand(`ERR Command is not available: '${name}'. See https://upstash.com/docs/redis/overall/rediscompatibility`)
  if ((name === 'XREAD' || name === 'XREADGROUP') && result.some((word) => word.toUpperCase() === 'BLOCK')) {
    throw new RefusedCommand(`ERR Blocking ${name} is not available over REST`)
  }
  const script = name === 'SCRIPT' && result[1]?.toUpperCase() === 'LOAD' ? 2 : name === 'EVAL' || name === 'EVAL_RO' ? 1 : undefined
  if (script !== undefined) result[script] = (result[script] ?? '').replace(flagLine, '')
  return result
}
