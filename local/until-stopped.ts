import { startStack, type Stack, type StackOptions } from '#local/stack'

/**
 * Starts a stack that Ctrl-C and its like stop, also while it still starts. Once nothing is left running, the process ends with `exitCode`; asked
 * a second time, it ends at once, and the parts notice that they are alone.
 */
export async function startUntilStopped(options: StackOptions, exitCode: number, log: (line: string) => void): Promise<Stack> {
  const stopping = new AbortController()
  let stack: Stack | undefined
  const stop = (signal: NodeJS.Signals): void => {
    if (stopping.signal.aborted) process.exit(1)
    stopping.abort()
    log(`stopping (${signal})`)
    stack?.stop().then(
      () => process.exit(exitCode),
      (error: unknown) => {
        console.error(error instanceof Error ? error.message : String(error))
        process.exit(1)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  try {
    stack = await startStack({ ...options, signal: stopping.signal })
    return stack
  } catch (error) {
    if (stopping.signal.aborted) process.exit(exitCode)
    throw error
  }
}
