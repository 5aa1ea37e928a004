import { guarded } from '#app/bind'
import { inngestRoute } from '#inngest/serve'

export const maxDuration = 60
export const GET = guarded('/api/inngest', inngestRoute.GET)
export const POST = guarded('/api/inngest', inngestRoute.POST)
export const PUT = guarded('/api/inngest', inngestRoute.PUT)
