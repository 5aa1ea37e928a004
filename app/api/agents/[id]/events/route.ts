import { bind } from '#app/bind'
import { agentEvents } from '#lib/api/events'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(agentEvents)
