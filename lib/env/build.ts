declare global {
  namespace NodeJS {
    interface ProcessEnv {
      /** Written into the build by next.config.ts, not a variable of the environment: the shortest maxDuration of the route files, in seconds. */
      MAX_DURATION_OF_BUILD?: string
    }
  }
}

// Only in the spelling process.env.NAME does the build put the value in its place.

/** The shortest maxDuration of the route files of this build, in seconds; null outside a build of Baton's own. */
export function secondsOfBuild(): number | null {
  const seconds = process.env.MAX_DURATION_OF_BUILD
  return seconds === undefined || seconds === '' ? null : Number(seconds)
}
