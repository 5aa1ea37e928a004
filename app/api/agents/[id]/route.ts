import { bind } from '#app/bind'
import { getAgent, patchAgent, deleteAgent } from '#lib/api/agents'

export const maxDuration = 60
export const { GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS } = bind(getAgent, patchAgent, deleteAgent)
