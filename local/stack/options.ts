import { z } from 'zod'

/** The parts that `--real` can leave to the real services. */
export const realParts = ['supabase', 'redis', 'inngest', 'models'] as const

/** One of {@link realParts}. */
export type RealPart = (typeof realParts)[number]

/** Options of `startStack`. */
export interface StackOptions {
  /** Folder of all data, keys and logs; default `.baton`. */
  dataDir?: string
  /** Begin with nothing: what a former stack left in the data folder is removed, once the folder is locked. */
  fresh?: boolean
  /** Serve the production build instead of `next dev`. */
  built?: boolean
  /** Number of server processes, on successive ports; default 1. More than one needs `built`. */
  servers?: number
  /** First port of the servers; default PORT or 3000, another one if it is taken. 0: every part takes any free port. */
  port?: number
  /** A running cluster to use instead of starting one: the stack creates a database of its own in it. */
  postgresUrl?: string
  /** Name of the database, default a new one; a database that exists is used as it is. Only with `postgresUrl`. */
  database?: string
  /** Database to copy from (see `ensureTemplate`); without it the database is prepared from nothing. */
  template?: string
  /** Folder of the migrations; default supabase/migrations. */
  migrations?: string
  /** False only for test clusters, see `ClusterOptions.fsync`. */
  fsync?: boolean
  /** Whether .env.local holds for the servers, as in `npm run dev`; what this process's own environment sets always does. Default no. */
  envFiles?: boolean
  /** Extra environment for the servers. */
  env?: Record<string, string>
  /** No progress lines. */
  quiet?: boolean
  /** Where progress lines go; default standard output. */
  log?: (line: string) => void
  /** Parts left to the real services of the environment or, with `envFiles`, of `.env.local`. */
  real?: readonly string[]
  /** Aborting it gives the start up: what has started is stopped, and `startStack` rejects. */
  signal?: AbortSignal
  /** Command to run as server instead of Next, with PORT in its environment; tests use a stand-in. */
  serverCommand?: readonly string[]
  /** Command to run instead of local/parts/executor.ts, with EXECUTOR_PORT in its environment. */
  executorCommand?: readonly string[]
}

const realSchema = z.array(z.enum(realParts))

/** Checks a `--real` list; throws an error that names what is not known. */
export function parseReal(names: readonly string[]): RealPart[] {
  const parsed = realSchema.safeParse(names)
  if (parsed.success) return [...new Set(parsed.data)]
  const unknown = names.filter((name) => !realParts.some((part) => part === name))
  throw new Error(`Not known for --real: ${unknown.join(', ')}. Choose from ${realParts.join(', ')}.`)
}
