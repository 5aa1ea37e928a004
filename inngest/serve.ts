import type { NextRequest } from 'next/server'

type Handler = (request: NextRequest, context: unknown) => Promise<Response>

/** Loaded at the first request, not at import: the build knows no configuration, and other routes never pay for the SDK. */
async function load(): Promise<Record<'GET' | 'POST' | 'PUT', Handler>> {
  const [{ serve }, { client }, { functions }] = await Promise.all([
    import('inngest/next'),
    import('#inngest/client'),
    import('#inngest/functions/index'),
  ])
  return serve({ client, functions, enableUnauthedSync: false })
}

let loaded: ReturnType<typeof load> | undefined

function handler(method: 'GET' | 'POST' | 'PUT'): Handler {
  return async (request, context) => {
    // A failure must not stay: the reason is answered, and the next request tries again.
    loaded ??= load().catch((error: unknown) => {
      loaded = undefined
      throw error
    })
    return (await loaded)[method](request, context)
  }
}

/** What Inngest calls: registration (PUT), execution (POST), introspection (GET). */
export const inngestRoute = { GET: handler('GET'), POST: handler('POST'), PUT: handler('PUT') }
