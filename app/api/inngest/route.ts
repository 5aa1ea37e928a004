import { inngestRoute } from '#inngest/serve'

export const maxDuration = 60
export const { GET, POST, PUT } = inngestRoute
