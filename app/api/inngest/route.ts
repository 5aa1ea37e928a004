import { guarded } from '#app/bind'
import { inngestRoute } from '#inngest/serve'

export const maxDuration = 60
export const GET = guarded(inngestRoute.GET)
export const POST = guarded(inngestRoute.POST)
export const PUT = guarded(inngestRoute.PUT)
